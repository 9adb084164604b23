//! Trains of datagrams are given up where they vanish, and only there.

mod harness;

use std::time::Duration;

use harness::Net;
use zt_engine::Role;

const SECOND: Duration = Duration::from_secs(1);

/// Two leaves on a direct path, just before trains are tried on it.
fn meet(net: &mut Net) -> (usize, usize) {
    let one = net.add(10, Role::Leaf, false);
    let two = net.add(11, Role::Leaf, false);
    net.ping(one, two, SECOND * 2);
    net.run(SECOND);
    (one, two)
}

#[test]
fn trains_that_vanish_are_given_up_and_tried_again_later() {
    let mut net = Net::new(1);
    let (one, two) = meet(&mut net);
    let at = net.hosts[two].public;
    // The supernode is beyond the same wire.
    let said = |net: &Net| -> Vec<bool> {
        let all = net.hosts[one].trains.iter();
        all.filter(|(to, _)| *to == at)
            .map(|(_, may)| *may)
            .collect()
    };
    net.trains_vanish = true;
    net.run(SECOND * 20);
    assert_eq!(said(&net), [true, false]);
    for _ in 0..5 {
        net.ping(one, two, SECOND);
        net.run(SECOND * 60);
    }
    assert_eq!(
        said(&net),
        [true, false, true, false],
        "after five minutes they are tried, and still vanish"
    );
    net.trains_vanish = false;
    for _ in 0..7 {
        net.ping(one, two, SECOND);
        net.run(SECOND * 60);
    }
    assert_eq!(said(&net)[4..], [true], "and for good");
}

#[test]
fn a_path_that_loses_everything_alike_keeps_its_trains() {
    for seed in 0..40 {
        let mut net = Net::new(1);
        let (one, two) = meet(&mut net);
        net.reseed(seed);
        net.loss = 10;
        net.run(SECOND * 10);
        assert!(given_up(&net, one).is_empty(), "seed {seed}");
        assert!(given_up(&net, two).is_empty(), "seed {seed}");
    }
}

#[test]
fn a_good_path_is_tried_with_one_train_and_left_alone() {
    let mut net = Net::new(1);
    let (one, two) = meet(&mut net);
    let before = net.hosts[one].sent;
    net.run(SECOND * 20);
    let sent = net.hosts[one].sent - before;
    // Its own four probes, the answers to the other's four, and what else two nodes say in 20 s.
    assert!(sent <= 8 + 4, "{sent} datagrams");
    assert!(given_up(&net, one).is_empty() && given_up(&net, two).is_empty());
}

fn given_up(net: &Net, n: usize) -> Vec<std::net::SocketAddr> {
    let all = net.hosts[n].trains.iter();
    all.filter(|(_, may)| !may).map(|(to, _)| *to).collect()
}
