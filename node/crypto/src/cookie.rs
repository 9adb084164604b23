//! Proof that a sender is where it says: cookies, computed and not stored.
//!
//! Owner: the answering node. In: path, ephemeral, sender index, time since start. Out: 16 bytes, or whether they are right.
//! Never: memory per sender, a wall clock.

use core::time::Duration;

use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::{Blake2bMac, digest::consts::U32};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes of a cookie.
pub const COOKIE: usize = 16;

/// How long one secret serves (SPEC §4.3); a cookie is good for one to two of these.
pub const SLOT: Duration = Duration::from_mins(2);

/// Makes and checks cookies.
pub struct Jar(Zeroizing<[u8; 32]>);

/// What a cookie is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The path the datagram came by, as SPEC §4.3 writes it: `4|6, ip, port` or `0xff, via, source`.
    pub path: &'a [u8],
    /// The initiator's ephemeral key.
    pub ephemeral: &'a [u8; 32],
    /// The initiator's session index.
    pub sender: u32,
}

impl Jar {
    /// A jar with a secret of its own.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The cookie for `claim` at `since_start` on the node's monotonic clock.
    pub fn bake(&self, claim: &Claim<'_>, since_start: Duration) -> [u8; COOKIE] {
        self.of_slot(claim, slot(since_start))
    }

    /// Whether `cookie` was baked for `claim` in this slot or the one before. All zero, which stands for no cookie, is not.
    pub fn check(&self, claim: &Claim<'_>, cookie: &[u8; COOKIE], since_start: Duration) -> bool {
        let now = slot(since_start);
        let before = now.checked_sub(1);
        let fits = |slot| self.of_slot(claim, slot).ct_eq(cookie);
        let right = fits(now) | before.map_or(0.into(), fits);
        bool::from(right) && *cookie != [0; COOKIE]
    }

    fn of_slot(&self, claim: &Claim<'_>, slot: u64) -> [u8; COOKIE] {
        let secret = Zeroizing::new(keyed(&self.0, &[&slot.to_be_bytes()]));
        let hash = keyed(
            &secret,
            &[claim.path, claim.ephemeral, &claim.sender.to_be_bytes()],
        );
        let mut cookie = [0; COOKIE];
        cookie.copy_from_slice(&hash[..COOKIE]);
        cookie
    }
}

impl core::fmt::Debug for Jar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Jar(..)")
    }
}

fn slot(since_start: Duration) -> u64 {
    since_start.as_secs() / SLOT.as_secs()
}

/// BLAKE2b-256 with a key, over the parts one after the other.
fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // BLAKE2b takes keys of up to 64 bytes.
    let mut mac = Blake2bMac::<U32>::new_from_slice(key).expect("32 bytes are a key for BLAKE2b");
    for part in parts {
        mac.update(part);
    }
    mac.finalize_fixed().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim<'static> = Claim {
        path: &[4, 192, 0, 2, 1, 0x27, 0x09],
        ephemeral: &[9; 32],
        sender: 7,
    };

    #[test]
    fn a_cookie_is_good_for_this_slot_and_the_next() {
        let jar = Jar::new([1; 32]);
        let cookie = jar.bake(&CLAIM, Duration::from_secs(119));
        assert!(jar.check(&CLAIM, &cookie, Duration::from_secs(0)));
        assert!(jar.check(&CLAIM, &cookie, Duration::from_secs(239)));
        assert!(!jar.check(&CLAIM, &cookie, Duration::from_mins(4)));
    }

    #[test]
    fn a_cookie_is_good_for_its_path_key_and_index_only() {
        let jar = Jar::new([1; 32]);
        let cookie = jar.bake(&CLAIM, Duration::ZERO);
        for other in [
            Claim {
                path: &[4, 192, 0, 2, 1, 0x27, 0x0a],
                ..CLAIM
            },
            Claim {
                ephemeral: &[8; 32],
                ..CLAIM
            },
            Claim { sender: 8, ..CLAIM },
        ] {
            assert!(!jar.check(&other, &cookie, Duration::ZERO));
        }
        assert!(!Jar::new([2; 32]).check(&CLAIM, &cookie, Duration::ZERO));
        assert!(!jar.check(&CLAIM, &[0; COOKIE], Duration::ZERO));
    }
}
