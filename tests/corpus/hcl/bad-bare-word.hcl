a = foo
b = upper("x")
