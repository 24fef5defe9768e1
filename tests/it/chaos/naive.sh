#!/usr/bin/env bash
# A runner as one writes it the first time: reads an entry, runs it, writes the result, acknowledges. It holds no
# lease, nobody looks after it, and its results are not fenced. The checker of the chaos test must fail it.
#
#   naive.sh PORT NAME
port=$1 name=$2
redis() { perl -e 'alarm shift; exec @ARGV' 3 redis-cli -p "$port" "$@" 2>/dev/null; }

number=0
while true; do
  redis XGROUP CREATE darkmux:work darkmux-runners 0 MKSTREAM >/dev/null
  reply=()
  while IFS= read -r line; do reply+=("$line"); done \
    < <(redis XREADGROUP GROUP darkmux-runners "$name" COUNT 1 BLOCK 500 STREAMS darkmux:work '>')
  entry=${reply[1]:-} record='' job=''
  for ((n = 2; n + 1 < ${#reply[@]}; n += 2)); do
    case ${reply[n]} in
      record) record=${reply[n + 1]} ;;
      job) job=${reply[n + 1]} ;;
    esac
  done
  [ -n "$job" ] || { sleep 0.05; continue; }
  number=$((number + 1))
  token=$name-$$-$number
  # The message is the value between the quotes after `message`; the test's messages hold no quotes.
  message=${record#*\"message\":\"}
  message=${message%%\"*}
  DARKMUX_JOB_ID=$job DARKMUX_ATTEMPT_TOKEN=$token sh -c "$message"
  for _ in 1 2 3 4 5; do
    redis HSET "darkmux:job:$job" state done tok "$token" >/dev/null &&
      redis XADD "darkmux:log:$job" '*' end done >/dev/null &&
      redis SREM darkmux:live "$job" >/dev/null &&
      redis XACK darkmux:work darkmux-runners "$entry" >/dev/null && break
  done
  redis XDEL darkmux:work "$entry" >/dev/null
done
