DROP TABLE default_connections;
DROP TABLE audit_log;
DROP TABLE api_tokens;
