/* head
   two lines */ a = 1 /* beside */ b = 2 // end
c = [ # open
  1, # one
  /* before two */ 2
  # last
]
d /* label */ "x" # brace
{ # inside
  e = # value
    3
} /* after */
#no blank
//
/**/
