#!/bin/sh
# Starts the daemon beside what the container runs, as the user of the container, and goes on with the command.
set -u

share=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$share/../../bin" && pwd)
DARKMUX_HOME=${DARKMUX_HOME:-/var/lib/darkmux}
export DARKMUX_HOME

if [ "${1:-}" = --serve ]; then
  umask 077
  # The container's network is one of this machine's own: nobody else is on it, so plain HTTP may pass.
  # The log is the one that the daemon keeps within its bounds; a start that fails takes nothing of it away.
  mkdir -p "$DARKMUX_HOME/logs"
  exec "$bin/darkmux" serve --i-know >>"$DARKMUX_HOME/logs/serve.log" 2>&1 </dev/null
fi

user=$(cat "$share/user" 2>/dev/null || echo root)
if [ "$(id -u)" = 0 ] && [ "$user" != root ]; then
  # Without a login shell, which would lose the variables.
  su -s /bin/sh -c "exec '$share/start.sh' --serve" "$user" &
else
  "$share/start.sh" --serve &
fi

exec "$@"
