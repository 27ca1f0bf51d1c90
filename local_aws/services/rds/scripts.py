"""What runs in the containers of a DB instance, whose folder is ``/rds``: shell scripts."""

from __future__ import annotations

# RDS has 64. A segment that is switched early is archived whole.
_SEGMENT_MIB = 1

_AS_POSTGRES = """\
set -eu
as() { setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }
"""

_INIT = f"""\
as "$programs/initdb" --pgdata=/rds/new --username=rdsadmin --encoding=UTF8 --locale=C.UTF-8 \\
    --auth-local=peer --auth-host=reject --data-checksums --no-sync --no-instructions \\
    --wal-segsize={_SEGMENT_MIB}
"""

# Starts the server; $1 is the folder of its programs.
START = f"""\
{_AS_POSTGRES}
programs=$1
cd /
install -d -o postgres -g postgres /run/postgresql
install -o postgres -g postgres -m 0600 /rds/config/server.key /run/postgresql/server.key
if [ ! -s /rds/data/PG_VERSION ]; then
  rm -rf /rds/data /rds/new
  install -d -o postgres -g postgres -m 0700 /rds/new
  {_INIT}
  mv /rds/new /rds/data
fi
install -d -o postgres -g postgres -m 0700 /rds/archive
chown -R postgres:postgres /rds/data
if [ -d /rds/restore ]; then chown postgres:postgres /rds/restore; fi
exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$programs/postgres" -D /rds/data \\
  -c config_file=/rds/config/postgresql.conf
"""

# From 17.12 on PostgreSQL notes a number in the options of each column, which 18.6 does not know.
_FORGET_NUMBERS = """\
UPDATE pg_attribute SET attoptions = (
  SELECT array_agg(option) FROM unnest(attoptions) AS option WHERE option NOT LIKE 'pg_attver=%')
WHERE array_to_string(attoptions, ',') LIKE '%pg_attver=%'"""

# Upgrades the data of a stopped server; $1 and $2 are the folders of the programs of the present
# and of the later version. pg_upgrade takes the files of a copy, so the data stay as they are until
# the new ones are complete. Meanwhile no server lets anybody else in.
UPGRADE = f"""\
{_AS_POSTGRES}
old=$1 programs=$2
umask 077
rm -rf /rds/new /rds/copy /rds/upgrade
install -d -o postgres -g postgres /run/postgresql
install -d -o postgres -g postgres -m 0700 /rds/new /rds/upgrade
cp --archive --reflink=auto /rds/data /rds/copy
cd /rds/upgrade
printf 'local all rdsadmin trust\\n' > pg_hba.conf
chown postgres:postgres pg_hba.conf
{_INIT}
closed="-c hba_file=/rds/upgrade/pg_hba.conf -c unix_socket_directories=/run/postgresql"
ask() {{
  as "$old/psql" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 \\
    --host=/run/postgresql --username=rdsadmin --dbname="$1" --command="$2"
}}
as "$old/pg_ctl" --pgdata=/rds/copy --wait --log=server.log start \\
  --options="$closed -c listen_addresses="
for database in $(ask postgres "SELECT datname FROM pg_database WHERE datallowconn"); do
  ask "$database" "{_FORGET_NUMBERS}"
done
as "$old/pg_ctl" --pgdata=/rds/copy --wait --mode=fast stop
as "$programs/pg_upgrade" --old-bindir="$old" --new-bindir="$programs" --old-datadir=/rds/copy \\
  --new-datadir=/rds/new --username=rdsadmin --socketdir=/run/postgresql --link --no-sync \\
  --old-options="$closed" --new-options="$closed"
mv /rds/data /rds/old
mv /rds/new /rds/data
rm -rf /rds/old /rds/copy /rds/upgrade
"""  # noqa: S608 - all parts are above
