# kill.sh: runs that are started in the background, watched and killed; for
# faults.sh and soak.sh. Needs lib.sh.

# Each rank leaves its process number and, when it ends by itself, its code.
cat >as-rank <<'END'
rank=${OMPI_COMM_WORLD_RANK-${PMIX_RANK-${PMI_RANK-0}}}
trap : TERM USR1
"$@" &
echo $! >"pid.$rank"
while :; do
  wait $!
  code=$?
  kill -0 $! 2>/dev/null || break
done
echo $code >"code.$rank"
exit $code
END

# start RANKS ARGS...: hymn in the background.
start() {
  ranks=$1
  shift
  ran="hymn $* ($ranks ranks, in $PWD)"
  rm -f pid.* code.* out err
  MPI_RUN_TIMEOUT=${LIMIT-120} sh "$here/mpi-run" "$ranks" sh as-rank \
    "$hymn" "$@" >out 2>err </dev/null &
  job=$!
}

# wait_for COMMAND...: until it holds, or the job has ended (1).
wait_for() {
  while ! "$@"; do
    kill -0 $job 2>/dev/null || return 1
    sleep 0.01
  done
}
said() { grep -qs "$1" out; }
begun() { # RANKS: every rank has a process
  [ "$(cat pid.* 2>/dev/null | wc -l)" = "$1" ]
}

# pid_of RANK, and that of the launcher: mpi-run replaces itself by timeout,
# which starts it.
pid_of() { cat "pid.$1"; }
pid_of_launcher() {
  grep -ls "^PPid:[[:space:]]*$job\$" /proc/[0-9]*/status |
    sed 's|^/proc/\([0-9]*\)/.*|\1|'
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# ended: wait for the end of all ranks; $rc, and the seconds it took in $took.
ended() {
  since=$(now_ms)
  wait $job 2>/dev/null
  rc=$?
  for p in pid.*; do
    while [ -e "$p" ] && kill -0 "$(cat "$p")" 2>/dev/null &&
      [ $(($(now_ms) - since)) -lt 90000 ]; do
      sleep 0.05
    done
  done
  took=$((($(now_ms) - since + 999) / 1000))
}

# random N: 0 .. N-1 from $seed, the same for the same seed.
random() {
  seed=$(((seed * 1103515245 + 12345) & 2147483647))
  picked=$(((seed / 65536) % $1))
}

# A save is under way: its temporary file is there.
saving() {
  set -- "$dir"/.step_*.h5.tmp
  [ -e "$1" ]
}

# kill_once DIR RANKS: what `start` has started ends by a kill at a random
# moment, three of four times while it saves. Counts: $n_killed all, $n_in_save
# those with a save under way, $n_torn those that leave a half-written file.
# Returns 1 if the run was over.
kill_once() {
  dir=$1
  wait_for said '^step ' || return 1
  random 4
  if [ "$picked" = 0 ]; then
    random 400
  else
    wait_for saving || return 1
    random 12
  fi
  sleep "$(printf '0.%03d' "$picked")"
  random 4
  case $picked in # one rank, the other, all, the launcher
  0 | 1) set -- "$(pid_of $((picked % $2)))" ;;
  2) set -- $(cat pid.*) ;;
  3) set -- "$(pid_of_launcher)" ;;
  esac
  saving && in_save=1 || in_save=0
  kill -9 "$@" 2>/dev/null || return 1
  ended
  n_killed=$((n_killed + 1))
  n_in_save=$((n_in_save + in_save))
  ! saving || n_torn=$((n_torn + 1))
  [ "$took" -le "$slowest" ] || slowest=$took
}
