#!/bin/sh
# decks.sh: the rows of the file `list`. `sh decks.sh --write` makes the
# references of all rows anew, each from the first layout that names it: say in
# the commit why they change.
. "$(dirname "$0")/lib.sh"

write=${1-}
packed=$work/text.h5
need 2 "$here/decks/prepare.nml" prepare.output="$packed"

# Remove blanks at both ends of $1.
trim() { echo "$1" | sed 's/^ *//; s/ *$//'; }

one_layout() {
  dir=run.$n_run
  n_run=$((n_run + 1))
  # shellcheck disable=SC2086 # words on purpose
  run "$1" "$path" job.dir="$dir" log.plot=.false. ckpt.save_every=0 \
    $overrides
  options=$(echo "$overrides" | sed 's/data.[a-z]*=[^ ]*\.h5 *//g')
  name="$deck on $1 ranks${options:+, $options}"
  if [ $rc != 0 ]; then
    not_ok "$name" "exit code $rc"
    return
  fi
  if [ "$write" = --write ] && ! grep -qx "$reference" written; then
    cut -d, -f1-6,10- "$dir/history.csv" >"$here/reference/$reference"
    echo "$reference" >>written
  fi
  if text=$(awk -f "$here/compare-csv.awk" -v tol="$tolerances $special" \
    "$here/reference/$reference" "$dir/history.csv"); then
    ok "$name: $text"
  else
    not_ok "$name" "$text"
  fi
}

n_run=0
: >written
while IFS='|' read -r deck layouts reference overrides special; do
  case $deck in
  '#'* | '') continue ;;
  tolerances*)
    tolerances=${deck#tolerances}
    continue
    ;;
  esac
  deck=$(trim "$deck")
  path=$here/$deck
  [ -e "$path" ] || path=$top/$deck
  reference=$(trim "$reference")
  overrides=$(trim "$overrides" | sed "s|\$packed|$packed|g")
  for n in $layouts; do
    one_layout "$n"
  done
done <"$here/list"
finish
