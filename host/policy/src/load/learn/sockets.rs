//! Proposes rules of a `sockets` grant for refused attempts. A guest whose lookup was refused never shows the port:
//! then only a remark is made.

use std::collections::BTreeSet;

use super::{out_of_reach, reach};
use crate::address::{Host, Reach};
use crate::capability::attempt::Attempt;
use crate::capability::sockets::{Grant, Protocol, Rule};
use crate::load::Grants;
use crate::redact::printable;

/// The granted rules, with those that cover refused attempts.
pub(super) fn rules_for(
    present: &Grants,
    refused: &BTreeSet<Attempt>,
    remarks: &mut Vec<String>,
) -> Vec<Rule> {
    let granted = present.sockets.clone().unwrap_or_default();
    let mut rules = granted.rules().to_vec();
    for attempt in refused {
        match attempt {
            Attempt::NoSocket { .. } => {
                remarks.push(format!("no grant covers {}", printable(&attempt.to_string(), 400)));
            }
            Attempt::Lookup(host) => looked_up(&granted, host, &mut rules, remarks),
            Attempt::Socket { protocol, host, port } => match out_of_reach(host) {
                Some(why) => remarks.push(format!("no grant is proposed for {attempt}: {why}")),
                None => cover(&granted, *protocol, host, *port, &mut rules),
            },
            Attempt::File { .. }
            | Attempt::Request(_)
            | Attempt::Header { .. }
            | Attempt::NoRequest { .. }
            | Attempt::Config(_)
            | Attempt::Keyvalue
            | Attempt::Clock
            | Attempt::Random => {}
        }
    }
    rules
}

/// Handles a lookup that was refused or gave no usable address.
fn looked_up(granted: &Grant, host: &Host, rules: &mut [Rule], remarks: &mut Vec<String>) {
    if let Some(why) = out_of_reach(host) {
        remarks.push(format!("no grant is proposed for {host}: {why}"));
    } else if granted.naming(host).next().is_some() {
        remarks.push(format!(
            "{host} is granted, and leads to a private network or to nowhere that a grant reaches"
        ));
        rules.iter_mut().filter(|rule| rule.host == *host).for_each(|rule| rule.reach = Reach::Private);
    } else {
        remarks.push(format!(
            "a rule for {host} needs a port, and a plugin says which only when the name leads somewhere: \
             add a rule for {host} to sockets with the port that you expect, and learn again"
        ));
    }
}

/// Adds the rule for one destination, or widens the reach of an existing one.
fn cover(granted: &Grant, protocol: Protocol, host: &Host, port: u16, rules: &mut Vec<Rule>) {
    let there =
        rules.iter_mut().find(|rule| (rule.protocol, &rule.host, rule.port) == (protocol, host, port));
    if let Some(rule) = there {
        rule.reach = Reach::Private;
        return;
    }
    // A resolved address was found within the widest reach of the rules for its name.
    let private = granted.naming(host).any(|(_, rule)| rule.reach == Reach::Private);
    let reach = if private { Reach::Private } else { reach(host) };
    rules.push(Rule { host: host.clone(), port, protocol, reach });
}
