//! Section `backup`: where backups go, for whom they are encrypted, and how long they are kept.

use std::path::PathBuf;

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
    /// PEM file of the CA that signed the store's certificate, besides those of the system: `PLINTH_BACKUP_S3_ROOT_CERT`.
    pub s3_root_cert: Option<PathBuf>,
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
    /// When `plinth-ops worker` makes a backup, in cron fields; `None` for never: `PLINTH_BACKUP_SCHEDULE`, default `30 2 * * *`.
    pub schedule: Option<String>,
    /// When it proves the newest one once more: `PLINTH_BACKUP_DRILL_SCHEDULE`, default `30 4 * * 0`.
    pub drill_schedule: Option<String>,
    /// When it deletes what is not kept: `PLINTH_BACKUP_PRUNE_SCHEDULE`, default `30 5 * * *`.
    pub prune_schedule: Option<String>,
    /// IANA time zone of the three: `PLINTH_BACKUP_TIME_ZONE`, default `UTC`.
    pub time_zone: String,
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
            s3_root_cert: reader.optional("backup.s3_root_cert"),
            s3_access_key_id: reader.secret("backup.s3_access_key_id"),
            s3_secret_access_key: reader.secret("backup.s3_secret_access_key"),
            s3_session_token: reader.secret("backup.s3_session_token"),
            keep_daily: reader.required("backup.keep_daily")?,
            keep_weekly: reader.required("backup.keep_weekly")?,
            keep_monthly: reader.required("backup.keep_monthly")?,
            schedule: cron(reader.required("backup.schedule")?),
            drill_schedule: cron(reader.required("backup.drill_schedule")?),
            prune_schedule: cron(reader.required("backup.prune_schedule")?),
            time_zone: reader.required("backup.time_zone")?,
        })
    }
}

/// `off` is never.
fn cron(text: String) -> Option<String> {
    (!text.eq_ignore_ascii_case("off")).then_some(text)
}
