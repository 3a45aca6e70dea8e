//! Order of service, and displacement from a full queue.

use toolgate_policy::principal::Tenant;

use super::*;

fn caller(peer: &str, conversation: u64) -> Caller {
    Caller::new(Tenant::default(), peer, conversation)
}

fn join(turns: &Arc<Turns>, caller: Caller, group: u64) -> Joined {
    turns.join(Key { caller, group })
}

fn now(joined: Joined) -> TurnSlot {
    match joined {
        Joined::Now(place) => place,
        Joined::Later { .. } | Joined::Crowded => panic!("there is a place"),
    }
}

type Turn = oneshot::Receiver<Result<TurnSlot, Crowded>>;

fn later(joined: Joined) -> Turn {
    match joined {
        Joined::Later { turn, .. } => turn,
        Joined::Now(_) | Joined::Crowded => panic!("it waits"),
    }
}

/// Serves all waiters one at a time; returns their names in that order.
fn order(first: TurnSlot, mut waiting: Vec<(&'static str, Turn)>) -> Vec<&'static str> {
    let (mut served, mut place) = (Vec::new(), Some(first));
    while !waiting.is_empty() {
        drop(place.take());
        let at = waiting.iter_mut().position(|(_, turn)| match turn.try_recv() {
            Ok(next) => {
                place = next.ok();
                true
            }
            Err(_) => false,
        });
        served.push(waiting.remove(at.unwrap()).0);
    }
    served
}

#[test]
fn peers_take_turns_however_many_calls_one_has_waiting() {
    let turns = Turns::new(1, 10);
    let first = now(join(&turns, caller("a", 1), 0));
    let mut waiting = Vec::new();
    for conversation in 0..4 {
        waiting.push(("a", later(join(&turns, caller("a", conversation), 0))));
    }
    for _ in 0..2 {
        waiting.push(("b", later(join(&turns, caller("b", 1), 0))));
    }
    assert_eq!(order(first, waiting), ["a", "b", "a", "b", "a", "a"]);
}

#[test]
fn conversations_of_one_peer_take_turns() {
    let turns = Turns::new(1, 10);
    let first = now(join(&turns, caller("a", 1), 0));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(("first", later(join(&turns, caller("a", 1), 0))));
    }
    waiting.push(("second", later(join(&turns, caller("a", 2), 0))));
    assert_eq!(order(first, waiting), ["first", "second", "first", "first"]);
}

#[test]
fn groups_of_one_peer_take_turns_before_its_conversations_do() {
    let turns = Turns::new(1, 50);
    let first = now(join(&turns, caller("a", 0), 1));
    let mut waiting = Vec::new();
    for conversation in 1..10 {
        waiting.push(("many", later(join(&turns, caller("a", conversation), 1))));
    }
    waiting.push(("few", later(join(&turns, caller("a", 10), 2))));
    assert_eq!(order(first, waiting)[1], "few");
}

#[test]
fn who_holds_fewer_places_goes_first() {
    let turns = Turns::new(3, 10);
    let mut held: Vec<TurnSlot> = (0..3).map(|_| now(join(&turns, caller("a", 1), 0))).collect();
    let mut a = later(join(&turns, caller("a", 1), 0));
    let mut b: Vec<Turn> = (0..2).map(|_| later(join(&turns, caller("b", 1), 0))).collect();
    held.pop();
    let _b = b[0].try_recv().unwrap().unwrap();
    assert!(a.try_recv().is_err());
    held.pop();
    // One slot each: the peer served longer ago is next.
    let _a = a.try_recv().unwrap().unwrap();
    assert!(b[1].try_recv().is_err());
}

#[test]
fn a_full_queue_makes_room_for_a_peer_with_fewer_and_for_nobody_with_as_many() {
    let turns = Turns::new(1, 4);
    let _first = now(join(&turns, caller("a", 1), 0));
    let mut of_a: Vec<Turn> = (0..4).map(|_| later(join(&turns, caller("a", 1), 0))).collect();
    assert!(matches!(join(&turns, caller("a", 1), 0), Joined::Crowded));
    let _b = [later(join(&turns, caller("b", 1), 0)), later(join(&turns, caller("b", 1), 0))];
    assert!(matches!(join(&turns, caller("b", 1), 0), Joined::Crowded), "two each");
    let gave_way: Vec<bool> =
        of_a.iter_mut().map(|turn| matches!(turn.try_recv(), Ok(Err(Crowded::GaveWay)))).collect();
    assert_eq!(gave_way, [false, false, true, true], "the latest give way");
}

#[test]
fn within_a_peer_a_conversation_with_many_makes_room_for_one_with_few() {
    let turns = Turns::new(1, 4);
    let _first = now(join(&turns, caller("a", 1), 0));
    let _waiting: Vec<Turn> = (0..4).map(|_| later(join(&turns, caller("a", 1), 0))).collect();
    let _second = [later(join(&turns, caller("a", 2), 0)), later(join(&turns, caller("a", 2), 0))];
    assert!(matches!(join(&turns, caller("a", 2), 0), Joined::Crowded));
}

#[tokio::test]
async fn who_stops_waiting_leaves_the_queue_and_a_place_that_nobody_wants_passes_on() {
    let turns = Turns::new(1, 2);
    let first = turns.enter(&caller("a", 1), 0).await.unwrap();
    {
        let b = caller("b", 1);
        let waits = turns.enter(&b, 0);
        tokio::pin!(waits);
        assert!(futures::future::poll_immediate(waits.as_mut()).await.is_none());
        assert_eq!(turns.state().waiting.len(), 1);
    }
    assert_eq!(turns.state().waiting.len(), 0);
    let gone = later(join(&turns, caller("b", 1), 0));
    let mut next = later(join(&turns, caller("c", 1), 0));
    drop(gone);
    drop(first);
    let _place = next.try_recv().unwrap().unwrap();
    assert_eq!(turns.state().running.len(), 1);
}
