DROP TABLE activity_stream;
DROP TABLE role_permissions;
DROP TABLE roles;
