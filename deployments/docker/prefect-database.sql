-- Prefect's own database, beside the ledger's: run once, when the server's data directory is made.
CREATE DATABASE prefect;
