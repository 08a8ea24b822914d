-- Tell readers of what is written outside the merges. ARGV: 1 kind, 2 names with spaces between them
announce({ARGV[1], ARGV[2]})
return 1
