//! What is asked for: the same hundred targets by HTTP and by pgbench.

use std::fmt;
use std::net::SocketAddr;

use db_core::secrets::token::{ApiKeyToken, TokenHash, new_session_token};
use db_core::{ApiKeyId, Clock};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::database::Database;
use crate::dataset::{BOARDS, CARDS, COLUMNS, PROJECTS, Table, id};

/// Distinct domains, boards, columns and cards that are asked for; pgbench takes at most 128 scripts.
pub(crate) const TARGETS: u32 = 100;

/// Description of a card that is made, as long as the loaded ones have it.
const DESCRIPTION: &str = "It was seen again on 0cc175b9c0f1b6a831c399e269772661, twice in one week. Compare with what \
                           was measured before, write down what is different, and ask who changed it.";
const TITLE: &str = "Card: find out why it is slow";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Request {
    /// Card by id.
    Get,
    /// Fifty cards of a board.
    List,
    /// Create a card.
    Create,
    /// Move a card to the bottom of another column.
    Move,
}

impl Request {
    /// All of them; those that add rows last.
    pub(crate) const ALL: [Self; 4] = [Self::Get, Self::List, Self::Move, Self::Create];
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Get => "card by id",
            Self::List => "50 cards of a board",
            Self::Create => "create card",
            Self::Move => "move card",
        })
    }
}

/// How a request proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Session,
    ApiKey,
}

impl Kind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Session, Self::ApiKey];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Session => "session",
            Self::ApiKey => "API key",
        })
    }
}

/// How pgbench sends the statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// One prepared statement with its domain written in, as a role that no policy holds.
    Bare,
    /// BEGIN, set_config, that statement, COMMIT in one pipeline, as the server's role under row level security.
    Pipelined,
    /// The same with every statement that the server sends for the request, its activity row included.
    Whole,
}

impl Scheme {
    /// Those that there are for a request: a read is one statement anyway.
    pub(crate) fn of(request: Request) -> &'static [Self] {
        match request {
            Request::Get | Request::List => &[Self::Bare, Self::Pipelined],
            Request::Create | Request::Move => &[Self::Bare, Self::Pipelined, Self::Whole],
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare",
            Self::Pipelined => "pipelined tenant transaction",
            Self::Whole => "the same with all the server's statements",
        })
    }
}

/// One of the things that are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Its number, from 0.
    pub(crate) number: u32,
    pub(crate) domain: Uuid,
    pub(crate) user: Uuid,
    pub(crate) project: Uuid,
    pub(crate) board: Uuid,
    /// The card that is read.
    pub(crate) read: Uuid,
    /// Number of the board's first card. All cards of the board are moved, to and fro between two columns.
    pub(crate) first: u32,
    pub(crate) here: Uuid,
    pub(crate) there: Uuid,
    /// The column in which the server makes cards, and the one in which pgbench does: faster, so that it gets longer.
    pub(crate) made: Uuid,
    pub(crate) fills: Uuid,
}

/// The targets, spread over all domains.
pub(crate) fn targets(domains: u32) -> Vec<Target> {
    let step = (domains / TARGETS).max(1);
    (0..TARGETS.min(domains))
        .map(|number| {
            let domain = number * step;
            let board = domain * BOARDS + number % BOARDS;
            Target {
                number,
                domain: id(Table::Domain, domain),
                user: id(Table::User, domain),
                project: id(Table::Project, board / (BOARDS / PROJECTS)),
                board: id(Table::Board, board),
                read: id(Table::Card, board * CARDS + 7),
                first: board * CARDS,
                here: id(Table::Column, board * COLUMNS + 2),
                there: id(Table::Column, board * COLUMNS + 3),
                made: id(Table::Column, board * COLUMNS),
                fills: id(Table::Column, board * COLUMNS + 4),
            }
        })
        .collect()
}

/// A session and an API key of the Admin of every target's domain, made for this run.
pub(crate) struct Credentials {
    holders: Vec<Holder>,
}

struct Holder {
    target: Target,
    session: String,
    api_key: String,
}

impl Credentials {
    /// Makes them, in the form that the server stores.
    pub(crate) fn create(database: &Database, domains: u32) -> anyhow::Result<Self> {
        let mut sql = String::new();
        let mut holders = Vec::new();
        for target in targets(domains) {
            let (session, key) = (
                new_session_token(),
                ApiKeyToken::generate(Clock::System.id::<ApiKeyId>()),
            );
            let session = session.expose_secret().to_owned();
            let hash: String = TokenHash::of(&session)
                .as_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let Target { domain, user, .. } = target;
            // Proof and last four are base 64 and base 62: nothing to escape.
            sql.push_str(&format!(
                "INSERT INTO sessions (domain_id, id, user_id, token_hash, idle_seconds, expires_at)
                    VALUES ('{domain}', '{}', '{user}', '\\x{hash}', 86400, now() + interval '1 day');
                 INSERT INTO api_keys (domain_id, id, user_id, name, secret_hash, last_four)
                    VALUES ('{domain}', '{}', '{user}', 'bench', crypt('{}', gen_salt('bf', 5)), '{}');",
                Clock::System.uuid(),
                key.id.uuid(),
                key.proof(),
                key.last_four(),
            ));
            holders.push(Holder {
                target,
                session,
                api_key: key.reveal().expose_secret().to_owned(),
            });
        }
        // As autovacuum would have it, which is off.
        sql.push_str("ANALYZE sessions, api_keys");
        database.execute(&sql)?;
        Ok(Self { holders })
    }

    /// The requests, ready to be sent: for each target one, or those that take turns.
    pub(crate) fn requests(&self, request: Request, kind: Kind, host: SocketAddr) -> Vec<Vec<Vec<u8>>> {
        self.holders
            .iter()
            .map(|holder| holder.requests(request, kind, host))
            .collect()
    }
}

impl Holder {
    fn requests(&self, request: Request, kind: Kind, host: SocketAddr) -> Vec<Vec<u8>> {
        let target = self.target;
        let credential = match kind {
            Kind::Session => format!("cookie: plinth_session={}", self.session),
            Kind::ApiKey => format!("authorization: Bearer {}", self.api_key),
        };
        let get = |path: String| {
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{credential}\r\n\r\n").into_bytes()
        };
        let post = |path: String, body: serde_json::Value| {
            let body = body.to_string();
            format!(
                "POST {path} HTTP/1.1\r\nhost: {host}\r\n{credential}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        match request {
            Request::Get => vec![get(format!("/api/v1/cards/{}", target.read))],
            Request::List => vec![get(format!("/api/v1/boards/{}/cards", target.board))],
            Request::Create => vec![post(
                format!("/api/v1/columns/{}/cards", target.made),
                serde_json::json!({ "title": TITLE, "description": DESCRIPTION }),
            )],
            Request::Move => [target.there, target.here]
                .into_iter()
                .flat_map(|column| (0..CARDS).map(move |card| (column, id(Table::Card, target.first + card))))
                .map(|(column, card)| {
                    let body = serde_json::json!({ "column_id": column });
                    post(format!("/api/v1/cards/{card}/move"), body)
                })
                .collect(),
        }
    }
}

const CARD: &str = "id, project_id, board_id, column_id, number, rank, title, description, assignee_id, created_by, \
                    due_at, version, created_at, updated_at";

/// A card as the activity stream keeps it.
const ACTIVITY: &str = r#"{"id":"018bcfe5-68ff-7007-8000-0000000000ff","rank":"a1C","title":"Card: find out why it is slow","number":512,"due_at":null,"version":1,"board_id":"018bcfe5-68ff-7005-8000-0000000000ff","column_id":"018bcfe5-68ff-7006-8000-0000000000ff","created_at":"2026-01-01T00:00:00.000000Z","created_by":"018bcfe5-68ff-7002-8000-0000000000ff","project_id":"018bcfe5-68ff-7004-8000-0000000000ff","updated_at":"2026-01-01T00:00:00.000000Z","assignee_id":null,"description":"It was seen again on 0cc175b9c0f1b6a831c399e269772661, twice in one week. Compare with what was measured before, write down what is different, and ask who changed it."}"#;
const POSITION: &str = r#"{"rank":"a1C","board_id":"018bcfe5-68ff-7005-8000-0000000000ff","column_id":"018bcfe5-68ff-7006-8000-0000000000ff"}"#;

/// Id of a card by its number, as `dataset::id` computes it. It costs a microsecond, a hundredth of a move.
const MOVED: &str =
    "(lpad(to_hex(1700000000000 + :c), 12, '0') || '70078000' || lpad(to_hex(:c::bigint), 12, '0'))::uuid";

/// pgbench's variables, name and value. A statement is then prepared once with parameters, as the server does it.
pub(crate) fn variables(targets: &[Target]) -> Vec<(String, String)> {
    let mut variables = vec![
        ("k".to_owned(), "0".to_owned()),
        ("title".to_owned(), TITLE.to_owned()),
        ("description".to_owned(), DESCRIPTION.to_owned()),
        ("activity".to_owned(), ACTIVITY.to_owned()),
        ("position".to_owned(), POSITION.to_owned()),
        (
            "request".to_owned(),
            "018bcfe5-68ff-7007-8000-0000000000ff".to_owned(),
        ),
    ];
    for target in targets {
        let ids = [
            ("d", target.domain),
            ("u", target.user),
            ("p", target.project),
            ("b", target.board),
            ("r", target.read),
            ("h", target.here),
            ("t", target.there),
            ("f", target.fills),
        ];
        variables.extend(ids.map(|(name, id)| (format!("{name}{}", target.number), id.to_string())));
    }
    variables
}

/// The script for one target. `run` keeps what different runs write apart.
pub(crate) fn script(request: Request, scheme: Scheme, target: &Target, run: u32) -> String {
    let n = target.number;
    let (domain_is, domain_column, domain_value) = match scheme {
        Scheme::Bare => (
            format!("domain_id = :d{n} AND "),
            "domain_id, ",
            format!(":d{n}, "),
        ),
        Scheme::Pipelined | Scheme::Whole => (String::new(), "", String::new()),
    };
    // Numbers and ranks must be new, and come from no table: run, client and counter. Ids grow, as UUIDv7 do.
    let counter = format!(
        "\\set k :k + 1\n\\set n 1000000 + {run} * 40000000 + :client_id * 1000000 + :k\n\\set i 1000000000000000000 + :n\n"
    );
    let (set, statement) = match request {
        Request::Get => (
            String::new(),
            format!("SELECT {CARD} FROM cards WHERE {domain_is}id = :r{n} LIMIT 1"),
        ),
        Request::List => (
            String::new(),
            format!("SELECT {CARD} FROM cards WHERE {domain_is}board_id = :b{n} ORDER BY id LIMIT 51"),
        ),
        Request::Create => (
            counter,
            format!(
                "INSERT INTO cards ({domain_column}id, project_id, board_id, column_id, number, rank, title, description, \
                 assignee_id, created_by, due_at) VALUES ({domain_value}('0199f00000007' || :i)::uuid, :p{n}, :b{n}, \
                 :f{n}, :n, :n, :title, :description, NULL, :u{n}, NULL) RETURNING {CARD}"
            ),
        ),
        Request::Move => (
            format!("{counter}\\set c {} + random(0, {CARDS} - 1)\n", target.first),
            format!(
                "UPDATE cards SET board_id = :b{n}, column_id = CASE WHEN column_id = :h{n} THEN :t{n}::uuid ELSE :h{n} END, \
                 rank = :n, version = version + 1, updated_at = now() WHERE {domain_is}id = {MOVED} RETURNING {CARD}"
            ),
        ),
    };
    let statements = match scheme {
        Scheme::Bare => return format!("{set}{statement};\n"),
        Scheme::Pipelined => vec![statement],
        Scheme::Whole => whole(request, n, statement),
    };
    format!(
        "{set}\\startpipeline\nBEGIN;\nSELECT set_config('plinth.domain_id', :d{n}, true);\n{};\nCOMMIT;\n\\endpipeline\n",
        statements.join(";\n")
    )
}

/// What db-core sends around the statement, in models/card.rs and models/card_place.rs; without waiting in between.
fn whole(request: Request, n: u32, statement: String) -> Vec<String> {
    let (column, moving) = match request {
        Request::Move => (format!(":t{n}"), MOVED.to_owned()),
        _ => (format!(":f{n}"), "NULL::uuid".to_owned()),
    };
    let lock = format!(
        "SELECT project_id, board_id, wip_limit, wip_policy FROM board_columns WHERE id = {column} FOR NO KEY UPDATE"
    );
    let of_column = format!("FROM cards WHERE column_id = {column} AND id IS DISTINCT FROM {moving}");
    let count =
        format!("CASE WHEN l.wip_policy = 'off' THEN 0 ELSE (SELECT count(*) {of_column}) END AS count");
    let last = format!("(SELECT rank {of_column} ORDER BY rank DESC LIMIT 1) AS above, NULL AS below");
    // Two kinds of request write with the same runs and counters.
    let prefix = if request == Request::Move {
        "0199f00000017"
    } else {
        "0199f00000007"
    };
    let activity = |before: &str, after: &str| {
        format!(
            "INSERT INTO activity_stream (id, action, outcome, target_type, target_id, before, after, request_id, ip) VALUES \
             (('{prefix}' || :i)::uuid, 'card.change', 'success', 'card', :r{n}, {before}, {after}, :request, '127.0.0.1')"
        )
    };
    match request {
        Request::Move => {
            let card = format!("SELECT {CARD} FROM cards WHERE id = {MOVED} LIMIT 1 FOR UPDATE");
            let gap = format!("SELECT {count}, {last} FROM board_columns l WHERE l.id = {column}");
            vec![lock, card, gap, statement, activity(":position", ":position")]
        }
        _ => {
            let number = format!(
                "UPDATE projects p SET last_number = last_number + 1 FROM board_columns l \
                 WHERE l.id = {column} AND p.id = l.project_id RETURNING p.last_number AS number, {count}, {last}"
            );
            vec![lock, number, statement, activity("NULL", ":activity")]
        }
    }
}
