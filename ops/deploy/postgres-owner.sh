#!/bin/sh
# Run once by the postgres image, when its data folder is new: the owner of the schema and its database.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$POSTGRES_PASSWORD" --username=postgres <<'SQL'
CREATE ROLE stenogate LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE stenogate OWNER stenogate;
SQL
