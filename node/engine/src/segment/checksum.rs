//! The Internet checksum (RFC 1071), whole or in parts.
//!
//! In: bytes. Out: sums. Never: a read past the end.

/// Adds bytes to a one's complement sum; `bytes` starts at an even offset of what is summed up.
pub fn add(sum: u64, bytes: &[u8]) -> u64 {
    let mut sum = sum;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_be_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

/// Folds a sum to 16 bits.
pub fn fold(sum: u64) -> u16 {
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // At most 16 bits are left.
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The checksum of a sum.
pub fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// The pseudo header's sum over both `addresses` (8 or 32 bytes), the protocol and the length.
pub fn pseudo(addresses: &[u8], protocol: u8, len: usize) -> u64 {
    add(0, addresses) + u64::from(protocol) + len as u64
}

/// Completes a partial checksum: the field at `start + offset` holds the pseudo header's sum.
/// `None` when the field is outside the frame; nothing is changed then.
pub fn complete(frame: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let at = start.checked_add(offset)?;
    frame.get(at..at.checked_add(2)?)?;
    let sum = finish(add(0, frame.get(start..)?));
    // UDP: zero would mean "no checksum" (RFC 768); for other protocols both zeros are equal.
    let sum = if sum == 0 { 0xffff } else { sum };
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(
            fold(add(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])),
            0xddf2
        );
    }

    #[test]
    fn an_odd_last_byte_counts_as_the_high_half() {
        assert_eq!(fold(add(0, &[0x12, 0x34, 0x56])), 0x1234 + 0x5600);
    }

    #[test]
    fn a_completed_checksum_verifies() {
        let mut frame = *b"0123456789..abcdefg";
        frame[10..12].copy_from_slice(&[0x12, 0x34]);
        let pseudo = 0x1234_u64;
        complete(&mut frame, 4, 6).unwrap();
        assert_eq!(finish(add(pseudo, &frame[4..])), 0);
        assert_eq!(complete(&mut frame, 18, 6), None);
    }
}
