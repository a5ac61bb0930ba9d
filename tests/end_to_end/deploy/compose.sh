#!/usr/bin/env bash
# Runs deploy/compose/set-up without Docker: the addresses, names, sockets and users of compose.yaml, on processes of this machine.
#   unshare --net --mount --pid --fork --kill-child bash compose.sh REPOSITORY WORK BINARY
set -euo pipefail
repository=$1 work=$2 binary=$3

mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/postgresql /run/lock
install -m 0755 "$binary" /run/silkgate
chmod 0755 "$work"
ip link set lo up
for address in 172.30.0.10 172.30.0.20 172.30.1.10 172.30.2.10; do
  grep -q "ipv4_address: $address" "$repository/deploy/compose/compose.yaml"
  ip address add "$address/32" dev lo
done
printf '%s\n' '127.0.0.1 localhost' '172.30.0.10 gateway.iq.example' '172.30.0.20 gateway.jo.example' > /run/hosts
mount --bind /run/hosts /etc/hosts

mkdir -p "$work/deploy" "$work/docs" "$work/bin"
cp -r "$repository/deploy/compose" "$work/deploy/"
cp "$repository/docs/alert.json" "$work/docs/"
folder=$work/deploy/compose
tools=$(echo /usr/lib/postgresql/*/bin)
init_args=$(sed -n 's/.*POSTGRES_INITDB_ARGS: "\(.*\)"/\1/p' "$folder/compose.yaml")
database() { (cd / && setpriv --reuid postgres --regid postgres --clear-groups "$@"); }
for state in iq jo; do
  install -d -o postgres -m 0700 "$work/$state-database"
  install -d -o postgres -m 3775 "$work/$state-socket"
  install -d -o 65532 -g 65532 -m 0700 "$work/$state-home"
  # As the image does, with the server's owner and the file of our own.
  # shellcheck disable=SC2086
  database "$tools/initdb" -D "$work/$state-database" -U postgres $init_args >/dev/null
  database "$tools/pg_ctl" -D "$work/$state-database" -l "$work/$state-database/log" -w start \
    -o "-c listen_addresses= -c hba_file=$folder/pg_hba.conf -k $work/$state-socket" >/dev/null
  database "$tools/psql" -v ON_ERROR_STOP=1 -q -h "$work/$state-socket" -d postgres -f "$folder/database.sql"
done

cat > "$work/bin/docker" <<'DOCKER'
#!/usr/bin/env bash
set -euo pipefail
as() {
  local state=$1; shift
  HOME=/ SILKGATE_HOME=$WORK/$state-home unshare --mount bash -c 'mount --bind "$1" /run/postgresql && shift &&
    exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --bounding-set=-all "$@"' \
    as "$WORK/$state-socket" /run/silkgate "${@//\/exchange\//$WORK/deploy/compose/exchange/}"
}
[ "$1" = compose ]
command=$2; shift 2
while [[ ${1:-} == -* ]]; do shift; done
case $command in
  stop)
    for state in "$@"; do
      if [ -e "$WORK/$state.pid" ]; then
        kill "$(cat "$WORK/$state.pid")"
        tail --pid "$(cat "$WORK/$state.pid")" -f /dev/null
        rm "$WORK/$state.pid"
      fi
    done ;;
  up)
    # The databases are there already.
    [[ ${1:-} == *-database ]] && exit
    for state in iq jo; do
      as "$state" serve 2>>"$WORK/$state.log" >/dev/null </dev/null &
      echo $! > "$WORK/$state.pid"
    done
    for state in iq jo; do
      timeout 60 bash -c "until docker ready-probe $state; do sleep 0.2; done"
    done ;;
  run | exec)
    state=$1; shift
    [ "$command" = run ] || { [ "$1" = silkgate ] && shift; }
    as "$state" "$@" ;;
esac
DOCKER
# What the image's health check asks.
sed -i 's/^\[ "\$1" = compose \]$/if [ "$1" = ready-probe ]; then as "$2" ready >\/dev\/null 2>\&1; exit; fi\n&/' "$work/bin/docker"
chmod +x "$work/bin/docker"
export WORK=$work PATH=$work/bin:$PATH

failed() { tail -n 20 "$work"/*.log; }
trap failed ERR
"$folder/set-up"
docker compose exec iq silkgate submit /exchange/alert.json --to JO/public-security
# Again: nothing is made anew.
"$folder/set-up"

# The gateway's user is the gateway's role in its own database, and nobody else.
client() { setpriv --reuid 65532 --regid 65532 --clear-groups "$tools/psql" -h "$work/iq-socket" -At -c 'SELECT current_user' "$@"; }
echo "the gateway's role: $(client -U silkgate -d silkgate)"
for other in '-U postgres -d silkgate' '-U postgres -d postgres' '-U silkgate -d postgres'; do
  # shellcheck disable=SC2086
  if client $other; then echo "let in: $other"; exit 1; fi
done
