//! Section `backup`: where backups go, for whom they are encrypted, and how long they are kept.

use secrecy::SecretString;

use crate::reader::Reader;

/// What `plinth-ops backup` and `plinth-ops restore` work with.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// Where backups are, a directory or `s3://bucket/prefix`: `PLINTH_BACKUP_URL`.
    pub url: Option<String>,
    /// age recipients that backups are encrypted for, none for no encryption: `PLINTH_BACKUP_RECIPIENTS`.
    pub recipients: Vec<String>,
    /// age identities that open encrypted backups, one on a line: `PLINTH_BACKUP_IDENTITY`.
    pub identity: Option<SecretString>,
    /// Address of an S3-compatible store; without it, Amazon's: `PLINTH_BACKUP_S3_ENDPOINT`.
    pub s3_endpoint: Option<String>,
    /// Region of the bucket: `PLINTH_BACKUP_S3_REGION`, default `us-east-1`.
    pub s3_region: String,
    /// Who writes to the bucket; without it, the machine's own role: `PLINTH_BACKUP_S3_ACCESS_KEY_ID`.
    pub s3_access_key_id: Option<SecretString>,
    /// `PLINTH_BACKUP_S3_SECRET_ACCESS_KEY`.
    pub s3_secret_access_key: Option<SecretString>,
    /// Of credentials for a short time: `PLINTH_BACKUP_S3_SESSION_TOKEN`.
    pub s3_session_token: Option<SecretString>,
    /// Days of which one backup is kept: `PLINTH_BACKUP_KEEP_DAILY`, default 7.
    pub keep_daily: u32,
    /// Weeks of which one backup is kept: `PLINTH_BACKUP_KEEP_WEEKLY`, default 5.
    pub keep_weekly: u32,
    /// Months of which one backup is kept: `PLINTH_BACKUP_KEEP_MONTHLY`, default 12.
    pub keep_monthly: u32,
}

impl BackupConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            url: reader.optional("backup.url"),
            recipients: reader
                .list::<String>("backup.recipients")
                .into_iter()
                .map(|recipient| recipient.trim().to_owned())
                .filter(|recipient| !recipient.is_empty())
                .collect(),
            identity: reader.secret("backup.identity"),
            s3_endpoint: reader.optional("backup.s3_endpoint"),
            s3_region: reader.required("backup.s3_region")?,
            s3_access_key_id: reader.secret("backup.s3_access_key_id"),
            s3_secret_access_key: reader.secret("backup.s3_secret_access_key"),
            s3_session_token: reader.secret("backup.s3_session_token"),
            keep_daily: reader.required("backup.keep_daily")?,
            keep_weekly: reader.required("backup.keep_weekly")?,
            keep_monthly: reader.required("backup.keep_monthly")?,
        })
    }
}
