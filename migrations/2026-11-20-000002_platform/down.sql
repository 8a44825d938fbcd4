DROP TABLE permissions;
DROP TABLE installation_secrets;
DROP TABLE installation;
DROP TABLE domain_hosts;
DROP TABLE domains;
