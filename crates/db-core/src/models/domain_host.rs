//! `domain_hosts`: the host names that decide the domain at sign-in.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::error::{Error, Meaning as _, Result};
use crate::ids::DomainId;
use crate::models::activity::Activity;
use crate::models::domain::domain_lock;
use crate::schema::{domain_hosts, domains};
use crate::tx::{Tx, WriteTx};

/// A host name in lower case without a port: labels of 1 to 63 letters, digits and hyphens with dots between, or an IP
/// address; at most 253 characters.
///
/// Source: RFC 1123, section 2.1.
///
/// # Errors
/// Says what is wrong.
pub fn check_host(host: &str) -> std::result::Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.to_string() == host)
        || (host.len() <= 253 && host.split('.').all(label))
    {
        Ok(())
    } else {
        Err("must be a host name in lower case or an IP address, without a port".to_owned())
    }
}

/// Host names that lead to a domain, in alphabetical order.
///
/// # Errors
/// A database error.
pub async fn domain_host_list(tx: &Tx<'_>, domain: DomainId) -> Result<Vec<String>> {
    Ok(domain_hosts::table
        .select(domain_hosts::host)
        .filter(domain_hosts::domain_id.eq(domain))
        .order(domain_hosts::host)
        .load(&mut tx.conn())
        .await?)
}

/// Lets a host name lead to a domain. One that does already stays as it is.
///
/// # Errors
/// `Invalid` when it is no host name, `NotFound` when there is no such domain, a conflict when the name leads to another
/// one.
pub async fn domain_host_insert(tx: &WriteTx<'_>, domain: DomainId, host: &str) -> Result<()> {
    checked(host)?;
    domain_lock(tx, domain).await?;
    let before = domain_host_list(tx, domain).await?;
    if before.iter().any(|known| known == host) {
        tx.unchanged();
        return Ok(());
    }
    diesel::insert_into(domain_hosts::table)
        .values((domain_hosts::domain_id.eq(domain), domain_hosts::host.eq(host)))
        .execute(&mut tx.conn())
        .await
        .or_conflict(
            "domain_hosts_host_key",
            "host_taken",
            format!("{host} leads to another domain already"),
        )?;
    changed(tx, domain, before).await
}

/// Takes a host name away from a domain.
///
/// # Errors
/// `Invalid` when it is no host name, `NotFound` when it does not lead to the domain.
pub async fn domain_host_delete(tx: &WriteTx<'_>, domain: DomainId, host: &str) -> Result<()> {
    checked(host)?;
    domain_lock(tx, domain).await?;
    let before = domain_host_list(tx, domain).await?;
    let deleted = diesel::delete(domain_hosts::table.find((domain, host)))
        .execute(&mut tx.conn())
        .await?;
    if deleted == 0 {
        return Err(Error::NotFound("host name"));
    }
    changed(tx, domain, before).await
}

/// Here and not in the handler: it stands in the path, and whoever may not ask learns nothing of it.
fn checked(host: &str) -> Result<()> {
    check_host(host).map_err(|message| Error::Invalid {
        field: "host",
        message,
    })
}

/// The host names are part of the domain as it is shown: its version counts them too.
async fn changed(tx: &WriteTx<'_>, domain: DomainId, before: Vec<String>) -> Result<()> {
    #[derive(Serialize)]
    struct Hosts {
        hosts: Vec<String>,
    }
    diesel::update(domains::table.find(domain))
        .set((
            domains::version.eq(domains::version + 1),
            domains::updated_at.eq(diesel::dsl::now),
        ))
        .execute(&mut tx.conn())
        .await?;
    let after = domain_host_list(tx, domain).await?;
    tx.record(
        Activity::new("domain.update", "domain", domain)
            .before(&Hosts { hosts: before })
            .after(&Hosts { hosts: after }),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_host;

    #[test]
    fn a_host_name_is_told_from_what_is_none() {
        for host in [
            "localhost",
            "acme.example.com",
            "a-1.b",
            "127.0.0.1",
            "::1",
            "xn--mller-kva.example",
        ] {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        let long = "a".repeat(64);
        let longer = ["abc"; 70].join(".");
        for host in [
            "",
            ".",
            "a..b",
            "A.example",
            "-a",
            "a-",
            "a_b",
            "a:80",
            "a/b",
            "a b",
            "é",
            "0::1",
            &long,
            &longer,
        ] {
            assert!(check_host(host).is_err(), "{host}");
        }
    }
}
