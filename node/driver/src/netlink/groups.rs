//! What an overlay device listens to, as the kernel has it: its multicast MACs, or everything.
//!
//! Owner: the netlink thread. In: a device's index. Out: a list for the engine.
//! Never: a guess: what cannot be read is everything.

use std::io::{BufRead, BufReader, Read};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Error, Handle};
use zt_engine::interface::Listening;
use zt_wire::Mac;

/// What the device with this index listens to.
pub async fn listening(handle: &Handle, index: u32) -> Listening {
    let known = match is_selective(handle, index).await {
        Ok(true) => std::fs::File::open(LIST).map(|file| groups(file, index)),
        Ok(false) => return Listening::Everything,
        Err(error) => {
            tracing::debug!(%error, index, "what the device listens to is not known");
            return Listening::Everything;
        }
    };
    match known {
        Ok(groups) => Listening::Only(groups),
        Err(error) => {
            tracing::debug!(%error, "{LIST} is not read: every group is taken");
            Listening::Everything
        }
    }
}

/// Whether the device takes only the groups it has joined: neither promiscuous, as in a bridge or under a capture,
/// nor with all multicast on, as under a multicast router.
async fn is_selective(handle: &Handle, index: u32) -> Result<bool, Error> {
    let mut links = Box::pin(handle.link().get().match_index(index).execute());
    let link = links.try_next().await?.ok_or(Error::RequestFailed)?;
    Ok(!takes_all(&link))
}

fn takes_all(link: &LinkMessage) -> bool {
    let flags = LinkFlags::Promisc | LinkFlags::Allmulti;
    link.header.flags.intersects(flags)
        || link.attributes.iter().any(|attribute| match attribute {
            LinkAttribute::Promiscuity(users) | LinkAttribute::AllMulticast(users) => *users > 0,
            _ => false,
        })
}

/// The MACs of one device: `index name users global-users mac` a line.
fn groups(list: impl Read, index: u32) -> Vec<Mac> {
    BufReader::new(list)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| group(&line, index))
        .take(MOST)
        .collect()
}

fn group(line: &str, index: u32) -> Option<Mac> {
    let mut fields = line.split_whitespace();
    if fields.next()?.parse() != Ok(index) {
        return None;
    }
    let digits = fields.nth(3)?;
    let value = u64::from_str_radix(digits, 16).ok()?;
    let [0, 0, mac @ ..] = value.to_be_bytes() else {
        return None;
    };
    let mac = Mac::from_bytes(mac);
    (digits.len() == 12 && mac.is_group()).then_some(mac)
}

/// The multicast MACs of the devices in this thread's network namespace.
const LIST: &str = "/proc/thread-self/net/dev_mcast";
/// Most groups taken from it: more than the protocol can say, so that the engine sees that there are too many.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_read_for_one_device() {
        let list = "2    ifb0            1     0     333300000001\n\
                    41   zt7pz4qx2       1     0     01005e7ffffa\n\
                    41   zt7pz4qx2       2     1     333300000001\n\
                    4    eth0            1     0     01005e000001\n\
                    41   zt7pz4qx2       1     0     0011\n\
                    41   broken\n\n";
        let expected = ["01:00:5e:7f:ff:fa", "33:33:00:00:00:01"].map(|mac| mac.parse().unwrap());
        assert_eq!(groups(list.as_bytes(), 41), expected);
        assert!(groups(list.as_bytes(), 1).is_empty());
    }

    #[test]
    fn a_promiscuous_device_takes_everything() {
        let mut link = LinkMessage::default();
        assert!(!takes_all(&link));
        link.attributes = vec![
            LinkAttribute::Promiscuity(0),
            LinkAttribute::AllMulticast(0),
        ];
        assert!(!takes_all(&link));
        link.attributes.push(LinkAttribute::Promiscuity(1));
        assert!(takes_all(&link));
        link.attributes = vec![LinkAttribute::AllMulticast(2)];
        assert!(takes_all(&link));
    }
}
