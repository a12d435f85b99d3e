# tok_table.awk: writes tok_table.c from UnicodeData.txt of the Unicode
# Character Database:
#   awk -f tok_table.awk -v version=16.0 UnicodeData.txt >tok_table.c
BEGIN {
  FS = ";"
  class["Lu"] = class["Lt"] = 1
  class["Ll"] = 2
  class["Lm"] = class["Lo"] = 4
  class["Mn"] = class["Mc"] = class["Me"] = 8
  class["Nd"] = class["Nl"] = class["No"] = 16
  class["Zs"] = class["Zl"] = class["Zp"] = 32
  end = last = 0
  print "/* tok_table.c: made by tok_table.awk from UnicodeData.txt, version " \
    version ".\n *\n * Each entry is the first character of a run, times 256, " \
    "and the class of the\n * run, bits of tok.h; the table ends with U+110000. */"
  print "#include \"text/tok.h\"\n"
  print "/* clang-format off */"
  print "const uint32_t hy_tok_table[] = {"
}

function number(hex, i, n) {
  n = 0
  for (i = 1; i <= length(hex); i++)
    n = 16 * n + index("123456789ABCDEF", substr(hex, i, 1))
  return n
}

function put(first, c) {
  if (c == last && n > 0)
    return
  printf "%s0x%x%02x,", n % 8 ? " " : n ? "\n  " : "  ", first, c
  last = c
  n++
}

{
  code = number($1)
  c = class[$3] + 0
  # the other white space, and the two that end a line
  if ((code >= 9 && code <= 13) || code == 133)
    c = code == 10 || code == 13 ? 64 : 32
  if (code > end && $2 !~ /, Last>$/)
    put(end, 0)
  if ($2 !~ /, Last>$/)
    put(code, c)
  end = code + 1
}

END {
  put(end, 0)
  printf " 0x11000000\n};\n/* clang-format on */\n"
}
