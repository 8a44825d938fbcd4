//! `plinth-ops backup` and `plinth-ops restore`

use app_config::Config;
use clap::{Args, Subcommand};

use super::backup_report as report;
use crate::backup::{self, BackupError, Context, Name, Policy, Progress, RestoreOptions, Stop, Store};
use crate::cli::Json;
use crate::failure::Failure;
use crate::program::{Program, runtime};

/// Where backups are, when not where the settings say.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// A directory, or s3://bucket/prefix [default: PLINTH_BACKUP_URL]
    #[arg(long, value_name = "URL")]
    pub at: Option<String>,
    #[command(flatten)]
    pub json: Json,
}

/// Whom a backup is believed.
#[derive(Clone, Copy, Debug, Args)]
pub struct Belief {
    /// Takes a backup by its checksums alone, when there is no encryption key here, or nobody with the key has signed it
    ///
    /// Then whoever can write to the place of backups says what is restored, and gives SQL that runs as the owner of the database.
    #[arg(long)]
    pub unauthenticated: bool,
}

#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Backs the database up, and proves the backup by restoring it
    ///
    /// Dump and row counts are of one moment, while everybody goes on working. The proof is a drill: see `backup drill`.
    Create {
        /// Does not restore the backup to prove it
        #[arg(long)]
        no_drill: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Lists the backups, oldest first, and when each was proved
    List(Place),
    /// Everything that a backup says of itself
    Show {
        /// Name of the backup, or latest
        #[arg(default_value = "latest")]
        backup: Which,
        #[command(flatten)]
        place: Place,
    },
    /// Reads every byte of a backup again and compares checksums; restores nothing
    Verify {
        /// Name of the backup, or latest
        #[arg(default_value = "latest", conflicts_with = "all")]
        backup: Which,
        /// Verifies all finished backups
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Proves a backup: restores it into a database of its own, compares rows, schema and secrets, and drops it again
    ///
    /// With --unauthenticated it is compared all the same, and proves nothing of a backup that is not signed with a key from here.
    Drill {
        /// Name of the backup, or latest
        #[arg(default_value = "latest")]
        backup: Which,
        #[command(flatten)]
        belief: Belief,
        #[command(flatten)]
        place: Place,
    },
    /// Deletes the backups that the policy does not keep; never the newest, nor the newest proved one
    Prune {
        /// Days of which one backup is kept [default: backup.keep_daily]
        #[arg(long, value_name = "N")]
        keep_daily: Option<u32>,
        /// Weeks of which one backup is kept [default: backup.keep_weekly]
        #[arg(long, value_name = "N")]
        keep_weekly: Option<u32>,
        /// Months of which one backup is kept [default: backup.keep_monthly]
        #[arg(long, value_name = "N")]
        keep_monthly: Option<u32>,
        /// Says what would be deleted, and deletes nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub struct Restore {
    /// Name of the backup, or latest
    pub backup: Which,
    /// Database to restore into, on the configured server [default: the configured one]
    #[arg(long, value_name = "DATABASE")]
    pub into: Option<String>,
    /// Ends the sessions of whoever is connected to that database
    #[arg(long)]
    pub force: bool,
    /// Drops the database that was replaced; otherwise it stays, under another name
    #[arg(long)]
    pub drop_replaced: bool,
    /// Takes over a backup of another installation than the configured database has
    #[arg(long, requires = "into")]
    pub of_another_installation: bool,
    #[command(flatten)]
    pub belief: Belief,
    #[command(flatten)]
    pub place: Place,
}

/// A backup by name, or the newest one.
#[derive(Clone, Debug)]
pub enum Which {
    Latest,
    Named(Name),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        text.parse().map(Self::Named)
    }
}

impl Which {
    pub(super) async fn name(&self, store: &Store) -> Result<Name, BackupError> {
        match self {
            Self::Named(name) => Ok(name.clone()),
            Self::Latest => Ok(backup::find(store, None).await?.backup),
        }
    }
}

pub fn run(command: Backup, settings: Vec<String>) -> Result<(), Failure> {
    match command {
        // What only looks at the store needs no database.
        Backup::List(place) => look(&place, settings, async |desk| {
            report::list(&backup::list(&desk.store).await?, &place)
        }),
        Backup::Show { backup, place } => look(&place, settings, async |desk| {
            let name = backup.name(&desk.store).await?;
            report::show(&backup::find(&desk.store, Some(&name)).await?, &place)
        }),
        Backup::Create { no_drill, place } => work(&place, None, settings, true, async |context| {
            let name = backup::create(context).await?;
            let drilled = if no_drill {
                None
            } else {
                let drilled = backup::drill(context, &name).await;
                Some(drilled.map_err(|source| BackupError::NotProved {
                    backup: name.to_string(),
                    source: Box::new(source),
                })?)
            };
            report::created(
                &backup::find(&context.store, Some(&name)).await?,
                drilled.as_ref(),
                &place,
            )
        }),
        Backup::Verify { backup, all, place } => look(&place, settings, async |desk| {
            let names = if all {
                let listed = backup::list(&desk.store).await?.into_iter();
                listed
                    .filter(|listed| listed.standing != backup::Standing::Unfinished)
                    .map(|listed| listed.backup)
                    .collect()
            } else {
                vec![backup.name(&desk.store).await?]
            };
            let mut verified = Vec::new();
            for name in names {
                let read = backup::verify(&desk.store, &desk.progress, &name);
                verified.push((name.clone(), desk.stop.or(read).await));
            }
            report::verified(verified, &place)
        }),
        Backup::Drill {
            backup,
            belief,
            place,
        } => work(&place, Some(belief), settings, false, async |context| {
            let name = backup.name(&context.store).await?;
            report::drilled(&backup::drill(context, &name).await?, &place)
        }),
        Backup::Prune {
            keep_daily,
            keep_weekly,
            keep_monthly,
            dry_run,
            place,
        } => look(&place, settings, async |desk| {
            let config = &desk.config.backup;
            let policy = Policy {
                daily: keep_daily.unwrap_or(config.keep_daily),
                weekly: keep_weekly.unwrap_or(config.keep_weekly),
                monthly: keep_monthly.unwrap_or(config.keep_monthly),
            };
            let ours = backup::configured_installation(&desk.config).await;
            let pruned = backup::prune(&desk.store, &desk.stop, ours, policy, dry_run).await?;
            report::pruned(&pruned, dry_run, &place)
        }),
    }
}

pub fn restore(command: Restore, settings: Vec<String>) -> Result<(), Failure> {
    let place = command.place;
    work(&place, Some(command.belief), settings, false, async |context| {
        let options = RestoreOptions {
            of_another_installation: command.of_another_installation,
            backup: command.backup.name(&context.store).await?,
            into: command.into.clone(),
            force: command.force,
            drop_replaced: command.drop_replaced,
        };
        report::restored(&backup::restore(context, &options).await?, &place)
    })
}

/// What a command has that needs the store alone.
struct Desk {
    config: Config,
    store: Store,
    progress: Progress,
    stop: Stop,
}

/// For commands that need the store alone: no database is started or waited for.
fn look(
    place: &Place,
    settings: Vec<String>,
    work: impl AsyncFnOnce(&Desk) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let loaded = crate::program::load(settings)?;
    let _log = command_line::start_log(crate::program::NAME, &loaded)?;
    let store = Store::open(&loaded.config, place.at.as_deref(), false)?;
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let desk = Desk {
            config: loaded.config,
            store,
            progress: Progress::new(),
            stop: Stop::listen()?,
        };
        let ended = async {
            desk.stop
                .or(std::future::pending::<Result<(), BackupError>>())
                .await?;
            Ok(())
        };
        tokio::select! {
            result = desk.progress.during(Box::pin(work(&desk))) => result,
            stopped = ended => stopped,
        }
    });
    // A disk or a mount that does not answer keeps a thread, and would keep the process.
    runtime.shutdown_background();
    done
}

/// For commands that need the database too; they clean up when they are told to stop. Never the private PostgreSQL: a backup of
/// that, made because DATABASE_URL was forgotten, would look like one of the installation.
pub(super) fn work(
    place: &Place,
    belief: Option<Belief>,
    settings: Vec<String>,
    make: bool,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    require_database(&crate::program::load(settings.clone())?.config)?;
    let program = Program::open(settings)?;
    let store = Store::open(&program.config, place.at.as_deref(), make)?;
    let progress = Progress::new();
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let stop = Stop::listen()?;
        let context = Context {
            program: &program,
            store,
            unauthenticated: belief.is_some_and(|belief| belief.unauthenticated),
            progress: &progress,
            stop: &stop,
        };
        progress.during(Box::pin(work(&context))).await
    });
    runtime.shutdown_background();
    done
}

/// Refuses where no database is configured.
pub(super) fn require_database(config: &Config) -> Result<(), Failure> {
    if config.database.address.is_some() {
        return Ok(());
    }
    Err(BackupError::Config(
        "no database is configured, and backups are not made of, nor restored into, the private PostgreSQL of a working directory: \
         set DATABASE_URL"
            .to_owned(),
    )
    .into())
}
