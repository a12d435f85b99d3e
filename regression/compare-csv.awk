# compare-csv.awk: a history against its reference, column by column.
#   awk -f compare-csv.awk -v tol='loss=1e-6 gnorm=1e-5' REFERENCE HISTORY
# A column of tol may differ by that much of its size in the reference (0: not
# at all); others are not looked at. Prints the worst, exits 1 when outside.
BEGIN {
  FS = ","
  n_tol = split(tol, word, " ")
  for (i = 1; i <= n_tol; i++) {
    split(word[i], pair, "=")
    bound[pair[1]] = pair[2]
  }
  worst = "no difference"
  share = -1
}
function fail(text) {
  print text
  bad = 1
  exit 1
}
FNR == 1 {
  for (i = 1; i <= NF; i++)
    at[FILENAME == ARGV[1], $i] = i
  next
}
NR == FNR {
  row[++n_ref] = $0
  next
}
{
  if (++n > n_ref)
    fail("more rows than the reference has")
  split(row[n], ref, ",")
  for (c in bound) {
    if (!((1, c) in at) || !((0, c) in at))
      fail("no column " c)
    a = ref[at[1, c]]
    b = $(at[0, c])
    if ((a == "") != (b == ""))
      fail("step " $1 ": " c " is '" b "', the reference has '" a "'")
    d = a - b
    if (d < 0)
      d = -d
    size = a < 0 ? -a : +a
    if (d > bound[c] * size || b ~ /nan|inf/)
      fail("step " $1 ": " c " is " b ", the reference has " a)
    if (d > 0 && bound[c] > 0 && d / (bound[c] * size) > share) {
      share = d / (bound[c] * size)
      worst = "worst " c " " sprintf("%.2g", share) " of its bound"
    }
  }
}
END {
  if (bad)
    exit 1
  if (n != n_ref) {
    print n + 0 " rows, the reference has " n_ref
    exit 1
  }
  print worst
}
