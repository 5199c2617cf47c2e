text = <<EOF
first
  second ${not.touched} "quoted" \n
EOF
indented = <<-END_1
    a
      b
    END_1
list = [<<X
in a list
X
, "after", <<Y
Y
]
last { inner = <<-Z
	tab
	Z
}
