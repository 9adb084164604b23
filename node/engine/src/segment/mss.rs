//! The maximum segment size that a TCP connection begins with, lowered to what needs no fragment.
//!
//! In: a frame, the bytes of frame that fit a datagram. Out: the same headers with a smaller MSS, where it was larger.
//! Never: a frame other than a SYN changed; an MSS below RFC 9293's default.

use super::{HEADERS, Headers, Layers, checksum, checksum_field, get16, layers, put16};
use crate::limits;

/// TCP's SYN flag.
const SYN: u8 = 0x02;
/// The kinds of TCP option read here (RFC 9293 §3.2).
const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;

/// Writes a SYN's headers with an MSS that fits `room` bytes of frame into `headers`, when the frame's own is larger.
/// `partial` tells that the checksum field holds the pseudo header's sum only. `None`: the frame may go as it is.
pub(crate) fn clamp(frame: &[u8], room: usize, partial: bool, headers: &mut Headers) -> Option<()> {
    let Layers {
        transport,
        tcp: true,
        payload,
        ..
    } = layers(frame)?
    else {
        return None;
    };
    if frame[transport + 13] & SYN == 0 || payload > HEADERS {
        return None;
    }
    // The option counts without options (RFC 6691), so the headers that count are IP's and TCP's 20 bytes.
    let most = room
        .saturating_sub(transport + 20)
        .max(limits::SEGMENT_FLOOR);
    let at = option(frame, transport + 20, payload)?;
    let former = get16(frame, at);
    if usize::from(former) <= most {
        return None;
    }
    headers.bytes[..payload].copy_from_slice(&frame[..payload]);
    headers.len = payload;
    headers.transport = transport;
    headers.tcp = true;
    let head = &mut headers.bytes[..payload];
    put16(head, at, most);
    if !partial {
        let field = transport + usize::from(checksum_field(true));
        let sum = adjusted(
            get16(head, field),
            (former, get16(head, at)),
            (at - transport) % 2 == 1,
        );
        put16(head, field, usize::from(sum));
    }
    Some(())
}

/// Where the value of the MSS option stands.
fn option(frame: &[u8], start: usize, end: usize) -> Option<usize> {
    let mut at = start;
    while at < end {
        match frame[at] {
            END => return None,
            NOP => at += 1,
            kind => {
                let len = usize::from(*frame.get(at + 1)?);
                if len < 2 || at + len > end {
                    return None;
                }
                if kind == MSS {
                    return (len == 4).then_some(at + 2);
                }
                at += len;
            }
        }
    }
    None
}

/// The checksum after a 16-bit value changed (RFC 1624, equation 3); `odd` when the value stands across two words.
fn adjusted(sum: u16, change: (u16, u16), odd: bool) -> u16 {
    let (mut former, mut value) = change;
    if odd {
        (former, value) = (former.swap_bytes(), value.swap_bytes());
    }
    checksum::finish(u64::from(!sum) + u64::from(!former) + u64::from(value))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// A SYN with a right checksum; `options` are padded to four bytes.
    fn syn(v6: bool, options: &[u8]) -> Vec<u8> {
        let padded = options.len().div_ceil(4) * 4;
        let tcp_len = 20 + padded;
        let mut frame = [&[2; 12][..], if v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] }].concat();
        let low = |len: usize| u8::try_from(len).unwrap();
        if v6 {
            frame.extend_from_slice(&[0x60, 0, 0, 0, 0, low(tcp_len), 6, 64]);
            frame.extend_from_slice(&[0xfd; 32]);
        } else {
            frame.extend_from_slice(&[0x45, 0, 0, low(20 + tcp_len), 0, 0, 0, 0, 64, 6, 0, 0]);
            frame.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        }
        let transport = frame.len();
        frame.extend_from_slice(&[
            0,
            80,
            0,
            81,
            0,
            0,
            0,
            9,
            0,
            0,
            0,
            0,
            low(tcp_len / 4) << 4,
            SYN,
            1,
            0,
            0,
            0,
            0,
            0,
        ]);
        frame.extend_from_slice(options);
        frame.resize(transport + tcp_len, 0);
        let sum = checksum::finish(sum(&frame));
        put16(&mut frame, transport + 16, usize::from(sum));
        frame
    }

    fn sum(frame: &[u8]) -> u64 {
        let Layers {
            ip, v6, transport, ..
        } = layers(frame).unwrap();
        let addresses = if v6 {
            ip + 8..ip + 40
        } else {
            ip + 12..ip + 20
        };
        checksum::add(
            checksum::pseudo(&frame[addresses], 6, frame.len() - transport),
            &frame[transport..],
        )
    }

    #[test]
    fn a_larger_mss_is_lowered_and_the_checksum_stays_right() {
        for v6 in [false, true] {
            for nops in 0..3 {
                let options = [&[NOP; 3][..nops], &[MSS, 4, 0x05, 0xb4, NOP, 3, 3, 7]].concat();
                let frame = syn(v6, &options);
                let mut headers = Headers::new();
                clamp(&frame, 1_436, false, &mut headers).unwrap();
                let changed = headers.bytes();
                assert_eq!(
                    checksum::finish(sum(changed)),
                    0,
                    "v6 {v6}, {nops} bytes before"
                );
                let transport = if v6 { 54 } else { 34 };
                let at = transport + 20 + nops + 2;
                assert_eq!(usize::from(get16(changed, at)), 1_436 - transport - 20);
                let mut back = changed.to_vec();
                back[at..at + 2].copy_from_slice(&frame[at..at + 2]);
                back[transport + 16..transport + 18]
                    .copy_from_slice(&frame[transport + 16..transport + 18]);
                assert_eq!(back, frame, "nothing else changed");
            }
        }
    }

    #[test]
    fn a_pseudo_headers_sum_does_not_depend_on_the_mss() {
        let frame = syn(false, &[MSS, 4, 0x05, 0xb4]);
        let mut headers = Headers::new();
        clamp(&frame, 1_436, true, &mut headers).unwrap();
        assert_eq!(headers.bytes()[50..52], frame[50..52]);
    }

    #[test]
    fn what_fits_or_is_no_syn_goes_as_it_is() {
        let mut headers = Headers::new();
        assert_eq!(
            clamp(
                &syn(false, &[MSS, 4, 0x05, 0x00]),
                1_436,
                false,
                &mut headers
            ),
            None
        );
        assert_eq!(
            clamp(&syn(false, &[NOP, NOP]), 1_436, false, &mut headers),
            None
        );
        let mut acknowledged = syn(false, &[MSS, 4, 0x05, 0xb4]);
        acknowledged[47] = 0x10;
        assert_eq!(clamp(&acknowledged, 1_436, false, &mut headers), None);
    }

    #[test]
    fn options_that_lie_about_their_length_are_left_alone() {
        let mut headers = Headers::new();
        for options in [
            &[MSS, 40, 5, 180][..],
            &[3, 0, 1, 1],
            &[MSS, 3, 5, 180],
            &[END, MSS, 4, 5],
            &[1, 1, 1, MSS],
        ] {
            assert_eq!(
                clamp(&syn(false, options), 1_436, false, &mut headers),
                None,
                "{options:?}"
            );
        }
        let whole = syn(true, &[MSS, 4, 0x05, 0xb4]);
        for end in 0..whole.len() {
            let _ = clamp(&whole[..end], 1_436, false, &mut headers);
        }
    }
}
