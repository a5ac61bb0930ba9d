-- Run once, by the image, as the server's owner. The gateway makes its tables itself, and needs no right beyond its database.
CREATE ROLE silkgate LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE DATABASE silkgate OWNER silkgate TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE silkgate FROM PUBLIC;
