//! What was counted: every reason to drop, and the traffic, handshakes and fragments that were not dropped.
//!
//! In: `drop(reason)`, `add(count, n)`. Out: named numbers for people and metrics.
//! Never: a decision. There is one list of reasons; the metric has one label.

use std::collections::BTreeMap;

/// Named numbers of `zt-cli counters`, one map per group.
pub type CounterGroups = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

macro_rules! named {
    ($(#[$outer:meta])* $name:ident { $($(#[$meta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$meta])* $variant,)* }

        impl $name {
            /// Every one, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in counters and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// Why a datagram or frame goes no further.
    DropReason {
        /// Shorter than its type allows.
        Short = "short",
        /// Longer than its type allows.
        Long = "long",
        /// A protocol version other than ours.
        Version = "version",
        /// A datagram type that does not exist.
        UnknownType = "unknown-type",
        /// No session has this index.
        UnknownSession = "unknown-session",
        /// The tag does not fit: damaged or made up.
        Forged = "forged",
        /// Seen before, or too old to tell.
        Replayed = "replayed",
        /// Sealed by a peer, yet not well formed.
        Malformed = "malformed",
        /// A message type that does not exist.
        UnknownMessage = "unknown-message",
        /// A message that this role or this peer may not send.
        NotAllowed = "not-allowed",
        /// The session's keys are past their time.
        Expired = "expired",
        /// The peer to send to has no usable session.
        NoSession = "no-session",
        /// The peer to send to has no path.
        NoPath = "no-path",
        /// A network that is not joined, or not yet configured.
        UnknownNetwork = "unknown-network",
        /// No currently valid certificate of the sender or receiver.
        NotMember = "not-member",
        /// A source MAC that its certificate does not cover.
        SourceMac = "source-mac",
        /// Our own frame came back.
        Loop = "loop",
        /// Shorter than an Ethernet header, or longer than the network's MTU allows.
        FrameSize = "frame-size",
        /// A group address that bridges do not forward (01:80:C2:00:00:01..0F).
        ReservedGroup = "reserved-group",
        /// An IP source, ARP sender or neighbor's address that its certificate does not cover.
        SourceIp = "source-ip",
        /// An answer of a DHCP server from a member without that right.
        DhcpServer = "dhcp-server",
        /// A router advertisement or redirect from a member without that right.
        RouterAdvertisement = "router-advertisement",
        /// The network's rules do not let a frame of ours go to a member.
        RuleTx = "rule-tx",
        /// The network's rules do not let a member's frame in.
        RuleRx = "rule-rx",
        /// A station that changes its place too often speaks from another place than it is held at.
        Flapping = "flapping",
        /// To a station on the side that the frame came from.
        SameSide = "same-side",
        /// Broadcast, multicast or unknown unicast beyond the budget.
        Storm = "storm",
        /// A probe of the loop guard, which ends here.
        LoopProbe = "loop-probe",
        /// Our device is cut off because of a loop.
        CutOff = "cut-off",
        /// A datagram of our own underlay, inside the network.
        Tunnel = "tunnel",
        /// Nobody to send to.
        NoReceiver = "no-receiver",
        /// A super frame whose offload values do not fit its headers.
        BadOffload = "bad-offload",
        /// A fragment that contradicts its siblings or the limits.
        FragmentBad = "fragment-bad",
        /// Reassembly memory is full: the oldest goes.
        FragmentFull = "fragment-full",
        /// A fragmented message was not complete in time.
        FragmentExpired = "fragment-expired",
        /// We do not relay, or not for this peer.
        RelayRefused = "relay-refused",
        /// The relayed datagram has no hop left.
        RelayHops = "relay-hops",
        /// The destination has no session with this relay.
        RelayUnknown = "relay-unknown",
        /// The source has used up its quota.
        RelayQuota = "relay-quota",
        /// The relay is overloaded, and the source is one of the heaviest.
        RelayShare = "relay-share",
        /// A relayed datagram inside a relayed datagram.
        RelayNested = "relay-nested",
        /// The send batch is full.
        SendFull = "send-full",
        /// The frames waiting for a session are too many.
        QueueFull = "queue-full",
        /// A frame waited too long for a session.
        QueueExpired = "queue-expired",
        /// The per-source budget for handshakes is used up.
        HandshakeRate = "handshake-rate",
        /// A handshake without a valid cookie where one is needed.
        Cookie = "cookie",
        /// The table of handshakes is full.
        HandshakeFull = "handshake-full",
        /// A handshake message that does not open.
        HandshakeBad = "handshake-bad",
        /// A handshake answer that nobody waits for.
        HandshakeUnexpected = "handshake-unexpected",
        /// An identity whose proof of work or key does not hold.
        Identity = "identity",
        /// A signature that does not hold.
        Signature = "signature",
        /// A table of peers, networks or members is full.
        TableFull = "table-full",
        /// Larger than our own kernel sends on that way: its path MTU has fallen.
        TooLarge = "too-large",
        /// A peer sends control messages faster than allowed.
        ControlRate = "control-rate",
        /// An answer to nothing that was asked.
        Unasked = "unasked",
        /// Older than what is known.
        Stale = "stale",
        /// Slow work is waiting already as much as it may.
        WorkFull = "work-full",
    }
}

named! {
    /// What is counted besides drops.
    Count {
        /// Frames taken from a device and sent to at least one member or answered.
        FramesTx = "tx",
        /// Frames handed to a device.
        FramesRx = "rx",
        /// Bytes of frames taken from devices.
        FrameBytesTx = "tx-bytes",
        /// Bytes of frames handed to devices.
        FrameBytesRx = "rx-bytes",
        /// Copies of frames sent to members; a broadcast counts once per member.
        FrameCopies = "tx-copies",
        /// Members that a multicast frame was not sent to, because they do not listen to its group.
        FramesSpared = "tx-spared",
        /// Copies of frames passed on for other members.
        FramesReplicated = "tx-replicated",
        /// ARP and neighbour questions answered without the wire.
        FramesAnswered = "answered",
        /// Super frames split into segments.
        FramesSuper = "super",
        /// Datagrams handed to the driver.
        DatagramsTx = "sent",
        /// Datagrams received and opened.
        DatagramsRx = "opened",
        /// Datagrams passed on for others.
        DatagramsRelayed = "relayed",
        /// Bytes of datagrams passed on for others.
        RelayedBytes = "relayed-bytes",
        /// Handshakes begun by us.
        HandshakesStarted = "started",
        /// Handshakes begun by others that reached the key agreement.
        HandshakesAnswered = "answered-handshakes",
        /// Sessions made.
        HandshakesDone = "done",
        /// Sessions renewed inside a session.
        Rekeys = "rekeys",
        /// Cookies given out.
        CookiesSent = "cookies",
        /// Handshakes given up.
        HandshakesFailed = "failed",
        /// Fragments sent.
        FragmentsTx = "tx-fragments",
        /// Fragments received.
        FragmentsRx = "rx-fragments",
        /// Messages put together from fragments.
        Reassembled = "reassembled",
    }
}

impl Count {
    const fn group(self) -> &'static str {
        match self {
            Self::FramesTx
            | Self::FramesRx
            | Self::FrameBytesTx
            | Self::FrameBytesRx
            | Self::FrameCopies
            | Self::FramesSpared
            | Self::FramesReplicated
            | Self::FramesAnswered
            | Self::FramesSuper => "frames",
            Self::DatagramsTx | Self::DatagramsRx | Self::DatagramsRelayed | Self::RelayedBytes => {
                "datagrams"
            }
            Self::HandshakesStarted
            | Self::HandshakesAnswered
            | Self::HandshakesDone
            | Self::Rekeys
            | Self::CookiesSent
            | Self::HandshakesFailed => "handshakes",
            Self::FragmentsTx | Self::FragmentsRx | Self::Reassembled => "fragments",
        }
    }
}

/// All counters of a shard or an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    drops: [u64; DropReason::ALL.len()],
    counts: [u64; Count::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            drops: [0; DropReason::ALL.len()],
            counts: [0; Count::ALL.len()],
        }
    }
}

impl Counters {
    /// Counts one drop.
    pub const fn drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Adds to a count.
    pub const fn add(&mut self, count: Count, amount: u64) {
        let at = count as usize;
        self.counts[at] = self.counts[at].wrapping_add(amount);
    }

    /// Adds everything of another, for the sum over shards and engine.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.drops.iter_mut().zip(other.drops) {
            *sum += more;
        }
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum += more;
        }
    }

    /// Drops for one reason.
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Drops for any reason.
    pub fn dropped_in_all(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// One count.
    pub const fn count(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// Everything by name: groups `drops`, `frames`, `datagrams`, `handshakes`, `fragments`. Zeros are listed.
    pub fn groups(&self) -> CounterGroups {
        let mut groups = CounterGroups::new();
        for &reason in DropReason::ALL {
            groups
                .entry("drops")
                .or_default()
                .insert(reason.name(), self.dropped(reason));
        }
        for &count in Count::ALL {
            groups
                .entry(count.group())
                .or_default()
                .insert(count.name(), self.count(count));
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_name() {
        let mut counters = Counters::default();
        counters.drop(DropReason::Replayed);
        counters.drop(DropReason::Replayed);
        counters.add(Count::FramesRx, 3);
        let groups = counters.groups();
        assert_eq!(groups["drops"].len(), DropReason::ALL.len());
        assert_eq!(groups["drops"]["replayed"], 2);
        assert_eq!(groups["frames"]["rx"], 3);
        assert_eq!(
            groups.keys().copied().collect::<Vec<_>>(),
            ["datagrams", "drops", "fragments", "frames", "handshakes"]
        );
    }

    #[test]
    fn merging_adds_both_sides() {
        let mut one = Counters::default();
        one.drop(DropReason::Forged);
        let mut two = one.clone();
        two.merge(&one);
        assert_eq!(two.dropped(DropReason::Forged), 2);
        assert_eq!(two.dropped_in_all(), 2);
    }
}
