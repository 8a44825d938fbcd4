//! The table of certificates.

use rcgen::IsCa;

use crate::certificates::*;

/// A certificate, the host that is asked for, and what the modes make of it.
pub struct Case {
    pub name: &'static str,
    pub leaf: Leaf,
    pub root: String,
    pub host: &'static str,
    /// One letter per mode from `disable` to `verify-full`, the root file given: `t` TLS, `p` plain, `-` refused.
    pub expected: &'static str,
    /// Where we refuse what libpq accepts.
    pub libpq: Option<&'static str>,
}

fn case(
    name: &'static str,
    leaf: Leaf,
    root: &Authority,
    host: &'static str,
    expected: &'static str,
) -> Case {
    Case {
        name,
        leaf,
        root: root.pem(),
        host,
        expected,
        libpq: None,
    }
}

fn own_root(name: &'static str, leaf: Leaf, host: &'static str, expected: &'static str) -> Case {
    Case {
        name,
        root: leaf.chain.clone(),
        leaf,
        host,
        expected,
        libpq: None,
    }
}

/// The table.
pub fn cases() -> Vec<Case> {
    let ca = authority("Our authority");
    let other = authority("Another authority");
    let same_name = authority("Our authority");
    let dead = expired_authority("Dead authority");
    let middle = intermediate("Intermediate", &ca);
    let good = || named("db", &["db.test"]);

    let mut explicit = named("Server", &[]);
    explicit.is_ca = IsCa::ExplicitNoCa;
    let (plain, bare) = (
        not_an_authority(explicit),
        not_an_authority(named("Bare server", &[])),
    );

    let mut behind_middle = signed(good(), &middle);
    let middle_alone = Case {
        root: middle.pem(),
        libpq: Some("pp---"),
        ..case(
            "intermediate as the only root",
            signed(good(), &middle),
            &ca,
            "db.test",
            "p----",
        )
    };
    let middle_helps = Case {
        root: ca.pem() + &middle.pem(),
        ..case(
            "intermediate beside the root",
            signed(good(), &middle),
            &ca,
            "db.test",
            "ptttt",
        )
    };
    let middle_missing = case(
        "intermediate nowhere",
        signed(good(), &middle),
        &ca,
        "db.test",
        "pp---",
    );
    behind_middle.chain += &middle.pem();

    let mut ip_as_dns = named("db", &[]);
    ip_as_dns.subject_alt_names.push(dns_name("127.0.0.1"));
    let mut two_roots = case(
        "second root of the file",
        signed(good(), &ca),
        &other,
        "db.test",
        "ptttt",
    );
    two_roots.root += &ca.pem();

    vec![
        // The eight of the research table.
        case("good", signed(good(), &ca), &ca, "db.test", "ptttt"),
        case(
            "other host",
            signed(named("db", &["other.test"]), &ca),
            &ca,
            "db.test",
            "pttt-",
        ),
        case("wrong authority", signed(good(), &other), &ca, "db.test", "pp---"),
        case("expired", signed(expired(good()), &ca), &ca, "db.test", "pp---"),
        case(
            "common name only",
            signed(named("db.test", &[]), &ca),
            &ca,
            "db.test",
            "ptttt",
        ),
        case(
            "wildcard",
            signed(named("db", &["*.test"]), &ca),
            &ca,
            "db.test",
            "ptttt",
        ),
        case(
            "IP address",
            signed(named("db", &["127.0.0.1"]), &ca),
            &ca,
            "127.0.0.1",
            "ptttt",
        ),
        own_root(
            "self-signed as its own root",
            self_signed(good()),
            "db.test",
            "ptttt",
        ),
        // Authorities.
        own_root(
            "self-signed, CA:TRUE",
            self_signed(marked_as_authority(good())),
            "db.test",
            "ptttt",
        ),
        own_root(
            "self-signed, expired",
            self_signed(expired(good())),
            "db.test",
            "pp---",
        ),
        own_root(
            "self-signed, other host",
            self_signed(good()),
            "db2.test",
            "pttt-",
        ),
        own_root(
            "self-signed, for clients",
            self_signed(for_clients(good())),
            "db.test",
            "pp---",
        ),
        Case {
            libpq: Some("pp---"),
            ..own_root("pinned leaf", signed(good(), &ca), "db.test", "p----")
        },
        case(
            "same name, other key",
            signed(good(), &same_name),
            &ca,
            "db.test",
            "pp---",
        ),
        case(
            "expired authority",
            signed(good(), &dead),
            &dead,
            "db.test",
            "pp---",
        ),
        case(
            "not valid yet",
            signed(future(good()), &ca),
            &ca,
            "db.test",
            "pp---",
        ),
        case(
            "for clients only",
            signed(for_clients(good()), &ca),
            &ca,
            "db.test",
            "pp---",
        ),
        case("P-384", p384(good(), &ca), &ca, "db.test", "ptttt"),
        case("intermediate sent", behind_middle, &ca, "db.test", "ptttt"),
        middle_alone,
        middle_helps,
        middle_missing,
        two_roots,
        case(
            "signed by a server",
            signed(good(), &plain),
            &plain,
            "db.test",
            "pp---",
        ),
        case(
            "signed by a server, no extensions",
            signed(good(), &bare),
            &bare,
            "db.test",
            "pp---",
        ),
        // Names.
        case(
            "capitals",
            signed(named("db", &["DB.Test"]), &ca),
            &ca,
            "db.test",
            "ptttt",
        ),
        case(
            "wildcard, two labels",
            signed(named("db", &["*.test"]), &ca),
            &ca,
            "a.db.test",
            "pttt-",
        ),
        case(
            "wildcard, no label",
            signed(named("db", &["*.test"]), &ca),
            &ca,
            "test",
            "pttt-",
        ),
        case(
            "wildcard inside a label",
            signed(named("db", &["d*.test"]), &ca),
            &ca,
            "db.test",
            "pttt-",
        ),
        case(
            "wildcard common name",
            signed(named("*.test", &[]), &ca),
            &ca,
            "db.test",
            "ptttt",
        ),
        case(
            "common name beside names",
            signed(named("db.test", &["x.test"]), &ca),
            &ca,
            "db.test",
            "pttt-",
        ),
        case(
            "common name beside an IP",
            signed(named("db.test", &["10.0.0.1"]), &ca),
            &ca,
            "db.test",
            "ptttt",
        ),
        case(
            "IP address in the common name",
            signed(named("127.0.0.1", &[]), &ca),
            &ca,
            "127.0.0.1",
            "ptttt",
        ),
        case(
            "IP name beside names",
            signed(named("127.0.0.1", &["x.test"]), &ca),
            &ca,
            "127.0.0.1",
            "ptttt",
        ),
        case(
            "IP name beside an IP",
            signed(named("127.0.0.1", &["10.0.0.1"]), &ca),
            &ca,
            "127.0.0.1",
            "pttt-",
        ),
        case(
            "IP address as a DNS name",
            signed(ip_as_dns, &ca),
            &ca,
            "127.0.0.1",
            "ptttt",
        ),
        case(
            "other IP address",
            signed(named("db", &["10.0.0.1"]), &ca),
            &ca,
            "127.0.0.1",
            "pttt-",
        ),
        case(
            "second name",
            signed(named("db", &["x.test", "db.test"]), &ca),
            &ca,
            "db.test",
            "ptttt",
        ),
        case(
            "localhost, resolved",
            signed(named("db", &["localhost"]), &ca),
            &ca,
            "localhost",
            "ptttt",
        ),
        case(
            "underscore",
            signed(named("db_1", &[]), &ca),
            &ca,
            "db_1",
            "ptttt",
        ),
        // Where the verifier is stricter, with a message that says so.
        Case {
            libpq: Some("ptttt"),
            ..case(
                "version 1",
                version_1(named("db.test", &[]), &ca),
                &ca,
                "db.test",
                "pp---",
            )
        },
        Case {
            libpq: Some("ptttt"),
            ..case(
                "CA:TRUE",
                signed(marked_as_authority(good()), &ca),
                &ca,
                "db.test",
                "pp---",
            )
        },
    ]
}
