DROP TABLE default_connections;
DROP TABLE audit_log;
DROP TABLE api_tokens;
DROP FUNCTION audit_log_is_append_only();
