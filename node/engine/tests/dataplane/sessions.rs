//! Keys: used when both ends have them, renewed without a gap, erased in time.

use zt_crypto::Suites;
use zt_engine::counters::DropReason;
use zt_engine::shard::{Note, Path, Punt, Sent, TapFrame, To, Update, Verdict};
use zt_wire::Message;

use crate::harness::{OTHER, Pair, at, network, receive, shake};

#[test]
fn a_replayed_frame_is_dropped_once_counted() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(b"once");
    pair.batch.clear();
    pair.a.shard.tx(
        at(1),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    let copy = pair.batch.all().remove(0);
    assert_eq!(
        receive(&mut pair.b, pair.a.at, at(1), &mut pair.batch).len(),
        1
    );
    let mut again = copy;
    let verdict = pair.b.shard.rx(
        at(1),
        Path::Direct(pair.a.at),
        &mut again,
        &mut pair.b.notes,
    );
    assert!(matches!(verdict, Verdict::Drop(DropReason::Replayed)));
    assert_eq!(pair.b.shard.counters().dropped(DropReason::Replayed), 1);
}

#[test]
fn the_responder_does_not_send_under_keys_the_initiator_may_not_have() {
    let mut pair = Pair::new();
    let before = pair.b.shard.session(at(1), OTHER).unwrap().local;
    shake(
        &mut pair.a,
        &mut pair.b,
        (OTHER, OTHER),
        at(1),
        Suites::LEAST,
    );
    assert_eq!(
        pair.b.shard.session(at(1), OTHER).unwrap().local,
        before,
        "still the former keys"
    );
    let sent = pair.frame_ba(b"under the former keys");
    assert_eq!(pair.b_to_a(at(1), TapFrame::plain(&sent)).len(), 1);
    let first = pair.frame_ab(b"under the new keys");
    assert_eq!(pair.a_to_b(at(1), TapFrame::plain(&first)).len(), 1);
    assert_ne!(pair.b.shard.session(at(1), OTHER).unwrap().local, before);
    assert!(
        pair.b
            .notes
            .iter()
            .any(|note| matches!(note, Note::Confirmed { .. }))
    );
}

#[test]
fn a_rekey_loses_no_frame_in_flight() {
    let mut pair = Pair::new();
    let (ab, ba) = (pair.frame_ab(b"in flight"), pair.frame_ba(b"in flight"));
    for round in 1..10 {
        let now = at(round * 1_000);
        pair.batch.clear();
        pair.a.shard.tx(
            now,
            network(),
            TapFrame::plain(&ab),
            &mut pair.batch,
            &mut pair.a.notes,
        );
        let mut late_ab = pair.batch.all().remove(0);
        pair.batch.clear();
        pair.b.shard.tx(
            now,
            network(),
            TapFrame::plain(&ba),
            &mut pair.batch,
            &mut pair.b.notes,
        );
        let mut late_ba = pair.batch.all().remove(0);
        shake(&mut pair.a, &mut pair.b, (OTHER, OTHER), now, Suites::LEAST);
        assert_eq!(pair.a_to_b(now, TapFrame::plain(&ab)).len(), 1);
        assert_eq!(pair.b_to_a(now, TapFrame::plain(&ba)).len(), 1);
        let verdict = pair.b.shard.rx(
            now,
            Path::Direct(pair.a.at),
            &mut late_ab,
            &mut pair.b.notes,
        );
        assert!(matches!(verdict, Verdict::Deliver { .. }));
        let verdict = pair.a.shard.rx(
            now,
            Path::Direct(pair.b.at),
            &mut late_ba,
            &mut pair.a.notes,
        );
        assert!(matches!(verdict, Verdict::Deliver { .. }));
    }
}

#[test]
fn keys_are_erased_after_180_seconds() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(b"late");
    pair.batch.clear();
    pair.a.shard.tx(
        at(179_000),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    assert_eq!(
        receive(&mut pair.b, pair.a.at, at(179_500), &mut pair.batch).len(),
        1
    );
    let outcome = pair.a.shard.tx(
        at(180_000),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    assert!(matches!(outcome, Sent::Unready));
    assert_eq!(pair.a.shard.next_deadline(), Some(at(180_000).mono));
    pair.a.shard.advance(at(180_000));
    assert_eq!(pair.a.shard.next_deadline(), None);
    assert_eq!(pair.a.shard.session(at(180_000), OTHER), None);
}

#[test]
fn the_engine_hears_once_that_keys_are_old() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(b"old");
    for _ in 0..5 {
        pair.a_to_b(at(121_000), TapFrame::plain(&sent));
    }
    let due = pair
        .a
        .notes
        .iter()
        .filter(|note| matches!(note, Note::RekeyDue { .. }))
        .count();
    assert_eq!(due, 1);
}

#[test]
fn an_authentic_datagram_from_elsewhere_is_told_and_moves_nothing() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(b"moved");
    let elsewhere = "198.51.100.7:4000".parse().unwrap();
    pair.batch.clear();
    pair.a.shard.tx(
        at(1),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    assert_eq!(
        receive(&mut pair.b, elsewhere, at(1), &mut pair.batch).len(),
        1
    );
    assert!(pair.b.notes.contains(&Note::Heard {
        peer: OTHER,
        from: Path::Direct(elsewhere)
    }));
    let back = pair.frame_ba(b"back");
    pair.b_to_a(at(1), TapFrame::plain(&back));
    assert_eq!(pair.batch.get(0).0, pair.a.at);
}

#[test]
fn silence_after_sending_is_told_once_in_a_while() {
    let mut pair = Pair::new();
    let (ab, ba) = (pair.frame_ab(b"hello?"), pair.frame_ba(b"yes"));
    for millis in 0..50 {
        pair.a_to_b(at(100 + millis), TapFrame::plain(&ab));
    }
    let told = |notes: &[Note]| {
        notes
            .iter()
            .filter(|note| matches!(note, Note::Waiting { .. }))
            .count()
    };
    assert!(told(&pair.a.notes) <= 1);
    assert!(pair.a.shard.traffic(OTHER).unwrap().waiting.is_some());
    pair.b_to_a(at(200), TapFrame::plain(&ba));
    assert!(pair.a.shard.traffic(OTHER).unwrap().waiting.is_none());
}

#[test]
fn a_long_control_message_arrives_whole() {
    let mut pair = Pair::new();
    let world = vec![9; 40_000];
    let message = Message::RekeyInit(&world).to_vec();
    pair.batch.clear();
    let to = To {
        peer: OTHER,
        path: None,
        whole: false,
    };
    pair.a
        .shard
        .send(at(1), to, &message, &mut pair.batch, &mut pair.a.notes)
        .unwrap();
    assert!(pair.batch.len() > 20);
    let mut whole = None;
    for index in 0..pair.batch.len() {
        let (_, bytes) = pair.batch.get(index);
        let from = Path::Direct(pair.a.at);
        if let Verdict::Punt(Punt::Control { messages, .. }) =
            pair.b.shard.rx(at(1), from, bytes, &mut pair.b.notes)
        {
            whole = Some(messages.to_vec());
        }
    }
    assert_eq!(whole, Some(message));
}

#[test]
fn a_forgotten_peer_opens_nothing() {
    let mut pair = Pair::new();
    pair.b.shard.apply(Update::Forget(OTHER));
    let sent = pair.frame_ab(b"who?");
    assert!(pair.a_to_b(at(1), TapFrame::plain(&sent)).is_empty());
    assert_eq!(
        pair.b.shard.counters().dropped(DropReason::UnknownSession),
        1
    );
    assert_eq!(pair.b.shard.next_deadline(), None);
}

#[test]
fn handshake_datagrams_go_to_the_engine_and_noise_goes_nowhere() {
    let mut pair = Pair::new();
    let from = Path::Direct(pair.a.at);
    let mut init = vec![1; 1_200];
    let verdict = pair.b.shard.rx(at(1), from, &mut init, &mut pair.b.notes);
    assert!(matches!(verdict, Verdict::Punt(Punt::Handshake { .. })));
    for (mut bytes, reason) in [
        (vec![], DropReason::Short),
        (vec![4, 1, 0], DropReason::Short),
        (vec![4, 2, 0, 0, 0, 0, 0, 0], DropReason::Version),
        (vec![9, 1, 0, 0, 0, 0, 0, 0], DropReason::UnknownType),
        ([&[4, 1][..], &[0; 40]].concat(), DropReason::UnknownSession),
    ] {
        let verdict = pair.b.shard.rx(at(1), from, &mut bytes, &mut pair.b.notes);
        assert!(
            matches!(verdict, Verdict::Drop(found) if found == reason),
            "{reason:?}"
        );
    }
}
