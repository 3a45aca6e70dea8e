//! Scopes put on hold by the faults of one or several callers.

use toolgate_base::outcome::{Answer, Content, Verdict};
use toolgate_policy::limits::call::{HOLD_MS, HOLD_MS_MAX};

use super::*;

fn fine() -> Outcome {
    Outcome::Answer(Answer::new(Verdict::Err, Content::Nothing))
}

fn fault(kind: FaultKind) -> Outcome {
    Outcome::Fault(Fault::new(kind, ""))
}

fn caller(peer: &str, conversation: u64) -> Caller {
    Caller::new(Tenant::default(), peer, conversation)
}

fn call_by(breaker: &Breaker, caller: &Caller, outcome: &Outcome, now: Instant) -> Option<Change> {
    breaker.begin(caller, now).ok().unwrap().ended(outcome, now)
}

fn call(breaker: &Breaker, outcome: &Outcome, now: Instant) -> Option<Change> {
    call_by(breaker, &caller("one", 1), outcome, now)
}

fn refused(breaker: &Breaker, caller: &Caller, now: Instant) -> Option<String> {
    breaker.begin(caller, now).err().map(|fault| fault.caller_text().to_owned())
}

const FIRST: Duration = Duration::from_millis(HOLD_MS);

fn held(whom: Whom) -> Option<Change> {
    Some(Change::Held(whom, FIRST))
}

#[test]
fn faults_in_a_row_hold_it_and_one_that_works_between_does_not() {
    let now = Instant::now();
    let breaker = Breaker::new(3);
    for _ in 0..2 {
        assert_eq!(call(&breaker, &fault(FaultKind::Trap), now), None);
        assert_eq!(call(&breaker, &fault(FaultKind::Lift), now), None);
        assert_eq!(call(&breaker, &fine(), now), None);
    }
    for _ in 0..2 {
        assert_eq!(call(&breaker, &fault(FaultKind::Trap), now), None);
    }
    assert_eq!(call(&breaker, &fault(FaultKind::Limit(CallLimit::Fuel)), now), held(Whom::Caller));
    let told = refused(&breaker, &caller("one", 1), now).unwrap();
    assert!(told.contains("faults_max = 3") && told.contains("try again in"), "{told:?}");
    assert!(told.contains("for this client's connection"), "{told:?}");
}

#[test]
fn faults_of_callers_and_host_say_nothing_about_the_plugin() {
    let now = Instant::now();
    let breaker = Breaker::new(1);
    for kind in [
        FaultKind::Arguments,
        FaultKind::Cancelled,
        FaultKind::Stopping,
        FaultKind::Internal,
        FaultKind::Budget,
    ] {
        assert_eq!(call(&breaker, &fault(kind), now), None, "{kind:?}");
    }
    assert_eq!(refused(&breaker, &caller("one", 1), now), None);
}

#[test]
fn one_caller_that_fails_is_held_alone() {
    let now = Instant::now();
    let breaker = Breaker::new(3);
    for _ in 0..3 {
        call(&breaker, &fault(FaultKind::Trap), now);
    }
    assert!(refused(&breaker, &caller("one", 1), now).is_some());
    assert_eq!(refused(&breaker, &caller("one", 2), now), None, "another connection of the same client");
    assert_eq!(refused(&breaker, &caller("two", 1), now), None, "another client");
}

#[test]
fn a_client_that_fails_over_several_connections_is_held_with_all_of_them_and_alone() {
    let now = Instant::now();
    let breaker = Breaker::new(4);
    for conversation in 0..3 {
        assert_eq!(call_by(&breaker, &caller("one", conversation), &fault(FaultKind::Trap), now), None);
    }
    assert_eq!(call_by(&breaker, &caller("one", 9), &fault(FaultKind::Trap), now), held(Whom::Peer));
    let told = refused(&breaker, &caller("one", 10), now).unwrap();
    assert!(told.contains("all connections from this client's address"), "{told}");
    assert_eq!(refused(&breaker, &caller("two", 1), now), None);
}

#[test]
fn several_clients_that_fail_hold_it_for_everybody_but_for_whom_it_worked_lately() {
    let mut now = Instant::now();
    let breaker = Breaker::new(3);
    assert_eq!(call_by(&breaker, &caller("good", 1), &fine(), now), None);
    let mut changes = None;
    for peer in ["one", "two", "three"] {
        changes = call_by(&breaker, &caller(peer, 1), &fault(FaultKind::Trap), now);
    }
    assert_eq!(changes, held(Whom::Everybody));
    let told = refused(&breaker, &caller("new", 1), now).unwrap();
    assert!(told.contains("on hold for everybody"), "{told}");
    // A caller with recent successes is let through, and its next success ends the hold.
    let trial = breaker.begin(&caller("good", 1), now).ok().unwrap();
    assert!(refused(&breaker, &caller("new", 1), now).is_some());
    assert_eq!(trial.ended(&fine(), now), Some(Change::Released(Whom::Everybody)));
    assert_eq!(refused(&breaker, &caller("new", 1), now), None);
    // Past successes stop counting after `CALLER_GOOD_MS`.
    for peer in ["one", "two", "three"] {
        call_by(&breaker, &caller(peer, 1), &fault(FaultKind::Trap), now);
    }
    now += Duration::from_millis(CALLER_GOOD_MS);
    let again: Vec<Change> = ["one", "two", "three"]
        .into_iter()
        .flat_map(|peer| {
            breaker.begin(&caller(peer, 1), now).ok().map(|trial| trial.ended(&fault(FaultKind::Trap), now))
        })
        .flatten()
        .collect();
    assert_eq!(again, [Change::Held(Whom::Everybody, FIRST * 2)], "one of them tried");
    assert!(refused(&breaker, &caller("good", 1), now).is_some());
}

#[test]
fn a_client_that_fails_faster_than_another_succeeds_holds_nobody_else() {
    let now = Instant::now();
    let breaker = Breaker::new(5);
    let good = caller("good", 1);
    assert_eq!(call_by(&breaker, &good, &fine(), now), None);
    for round in 0..100 {
        for conversation in 0..20 {
            if let Ok(trial) = breaker.begin(&caller("bad", round * 20 + conversation), now) {
                trial.ended(&fault(FaultKind::Trap), now);
            }
        }
        assert!(refused(&breaker, &good, now).is_none(), "{round}");
        call_by(&breaker, &good, &fine(), now);
    }
}

#[test]
fn after_the_hold_one_call_tries_and_decides() {
    let mut now = Instant::now();
    let breaker = Breaker::new(1);
    let one = caller("one", 1);
    let holds = |lasts| Some(Change::Held(Whom::Everybody, lasts));
    assert_eq!(call(&breaker, &fault(FaultKind::Trap), now), holds(FIRST));
    now += FIRST;
    let trial = breaker.begin(&one, now).ok().unwrap();
    assert!(refused(&breaker, &one, now).is_some(), "one at a time");
    assert_eq!(trial.ended(&fault(FaultKind::Trap), now), holds(FIRST * 2));
    now += FIRST;
    assert!(refused(&breaker, &one, now).is_some(), "twice as long");
    now += FIRST;
    drop(breaker.begin(&one, now).ok().unwrap());
    let trial = breaker.begin(&one, now).ok().unwrap();
    assert_eq!(trial.ended(&fault(FaultKind::Cancelled), now), None);
    assert_eq!(call(&breaker, &fine(), now), Some(Change::Released(Whom::Everybody)));
    assert!(breaker.begin(&one, now).is_ok() && breaker.begin(&one, now).is_ok());
}

#[test]
fn a_hold_never_lasts_longer_than_its_bound() {
    let mut now = Instant::now();
    let breaker = Breaker::new(1);
    let mut lasts = Duration::ZERO;
    for _ in 0..20 {
        now += lasts;
        let change = call(&breaker, &fault(FaultKind::Trap), now);
        let Some(Change::Held(_, next)) = change else { panic!("held") };
        lasts = next;
    }
    assert_eq!(lasts, Duration::from_millis(HOLD_MS_MAX));
}

#[test]
fn a_tenant_for_which_a_plugin_fails_holds_up_nobody_of_another() {
    let now = Instant::now();
    let breaker = Breaker::new(3);
    let of = |tenant: &str, peer: &str| Caller::new(tenant.parse().unwrap(), peer, 1);
    for peer in ["a", "b", "c", "d"] {
        for _ in 0..3 {
            if let Ok(trial) = breaker.begin(&of("acme", peer), now) {
                trial.ended(&fault(FaultKind::Trap), now);
            }
        }
    }
    assert!(refused(&breaker, &of("acme", "new"), now).unwrap().contains("for several clients"));
    assert_eq!(refused(&breaker, &of("default", "a"), now), None);
}

#[test]
fn so_many_callers_are_remembered_and_no_more() {
    let now = Instant::now();
    let breaker = Breaker::new(3);
    for peer in 0..CALLERS_KEPT * 2 {
        call_by(&breaker, &caller(&peer.to_string(), 1), &fine(), now);
        call_by(&breaker, &caller(&peer.to_string(), 1), &fault(FaultKind::Trap), now);
        call_by(&breaker, &caller("good", 1), &fine(), now);
    }
    let tenants = breaker.tenants();
    let state = tenants.get(&Tenant::default()).unwrap();
    assert_eq!(state.callers.len(), CALLERS_KEPT);
    assert!(state.peers.len() <= CALLERS_KEPT);
}
