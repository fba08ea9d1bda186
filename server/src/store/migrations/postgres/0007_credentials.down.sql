DROP TABLE oauth_sessions;
DROP TABLE oauth_apps;
DROP TABLE credentials;
DROP TABLE secrets;
