#!/usr/bin/env bash
# Run once, by the image of PostgreSQL when its data folder is empty: a role and a database for each service, which nobody
# else may connect to. The passwords are in the environment.
set -euo pipefail

for service in orders billing users auth notifications; do
    variable="${service^^}_PASSWORD"
    # Quoted by psql, as a value and as a name.
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
        --set service="$service" --set password="${!variable:?}" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE CONNECT ON DATABASE :"service" FROM PUBLIC;
SQL
done
