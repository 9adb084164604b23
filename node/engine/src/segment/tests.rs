//! Super frames split into what fits, checked by taking the segments apart again.
//!
//! In: frames made here. Out: assertions. Never: a socket.

use std::vec::Vec;

use super::*;

/// A TCP super frame over IPv4 with 12 bytes of TCP options, flags FIN, PSH, ACK and CWR.
pub(crate) fn tcp4(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    let total = u16::try_from(20 + 32 + payload.len()).unwrap();
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&[0xff, 0xff, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend_from_slice(&[
        0x12, 0x34, 0x56, 0x78, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 1, 0x80, 0x99, 1, 0, 0, 0, 0, 0,
    ]);
    frame.extend_from_slice(&[1; 12]);
    frame.extend_from_slice(payload);
    frame
}

fn udp6(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&[
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0x00, 0, 5, 0x86, 0xdd,
    ]);
    let len = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    frame.extend_from_slice(&[0x60, 0, 0, 0, len[0], len[1], 17, 64]);
    frame.extend_from_slice(&[0xfd; 32]);
    frame.extend_from_slice(&[0, 53, 0, 54, len[0], len[1], 0, 0]);
    frame.extend_from_slice(payload);
    frame
}

fn cut(frame: &[u8], offload: Offload) -> Vec<Vec<u8>> {
    let parsed = SuperFrame::parse(TapFrame {
        bytes: frame,
        offload,
    })
    .unwrap();
    let mut headers = Headers::new();
    let whole = |index| {
        let piece = parsed.segment(index, &mut headers);
        let mut segment = [headers.bytes(), piece].concat();
        let (start, offset) = headers.checksum();
        checksum::complete(&mut segment, usize::from(start), usize::from(offset)).unwrap();
        segment
    };
    (0..parsed.count()).map(whole).collect()
}

#[test]
fn tcp_segments_carry_the_payload_once_and_in_order() {
    let payload: Vec<u8> = (0..10_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let segments = cut(&tcp4(&payload), Offload::Tcp { segment: 1_448 });
    assert_eq!(segments.len(), 7);
    let mut together = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let header = 14 + 20 + 32;
        assert_eq!(
            usize::from(get16(segment, 16)),
            segment.len() - 14,
            "IPv4 total length"
        );
        assert_eq!(
            checksum::finish(checksum::add(0, &segment[14..34])),
            0,
            "IPv4 header checksum"
        );
        let pseudo = checksum::pseudo(&segment[26..34], 6, segment.len() - 34);
        assert_eq!(
            checksum::finish(checksum::add(pseudo, &segment[34..])),
            0,
            "TCP checksum"
        );
        let sequence = u32::from_be_bytes(segment[38..42].try_into().unwrap());
        assert_eq!(
            sequence,
            0xffff_fff0_u32.wrapping_add(u32::try_from(together.len()).unwrap())
        );
        assert_eq!(
            get16(segment, 18),
            0xffff_u16.wrapping_add(u16::try_from(index).unwrap()),
            "IPv4 id"
        );
        let flags = segment[34 + 13];
        assert_eq!(flags & 0x09 != 0, index == 6, "FIN and PSH only at the end");
        assert_eq!(flags & 0x80 != 0, index == 0, "CWR only at the start");
        assert_eq!(flags & 0x10, 0x10, "ACK everywhere");
        together.extend_from_slice(&segment[header..]);
    }
    assert_eq!(together, payload);
}

#[test]
fn udp_datagrams_keep_their_borders_behind_a_tag() {
    let payload = [7; 2_500];
    let segments = cut(&udp6(&payload), Offload::Udp { segment: 1_000 });
    let lengths: Vec<usize> = segments
        .iter()
        .map(|segment| segment.len() - 18 - 48)
        .collect();
    assert_eq!(lengths, [1_000, 1_000, 500]);
    for segment in &segments {
        let udp = &segment[58..];
        assert_eq!(usize::from(get16(udp, 4)), udp.len());
        assert_eq!(usize::from(get16(segment, 22)), udp.len());
        let pseudo = checksum::pseudo(&segment[26..58], 17, udp.len());
        assert_eq!(checksum::finish(checksum::add(pseudo, udp)), 0);
    }
}

#[test]
fn only_tcp_may_be_cut_smaller() {
    let (tcp, udp) = (tcp4(&[1; 3_000]), udp6(&[1; 3_000]));
    let tcp = SuperFrame::parse(TapFrame {
        bytes: &tcp,
        offload: Offload::Tcp { segment: 1_448 },
    })
    .unwrap();
    assert_eq!(tcp.cut_to(1_000).count(), 3);
    let udp = SuperFrame::parse(TapFrame {
        bytes: &udp,
        offload: Offload::Udp { segment: 1_448 },
    })
    .unwrap();
    assert_eq!(udp.cut_to(1_000).segment_len(), 1_448);
}

#[test]
fn an_offload_that_the_headers_do_not_bear_out_is_refused() {
    let tcp = tcp4(&[1; 100]);
    assert!(
        SuperFrame::parse(TapFrame {
            bytes: &tcp,
            offload: Offload::Udp { segment: 10 }
        })
        .is_none()
    );
    assert!(
        SuperFrame::parse(TapFrame {
            bytes: &tcp,
            offload: Offload::Tcp { segment: 0 }
        })
        .is_none()
    );
    assert!(
        SuperFrame::parse(TapFrame {
            bytes: &tcp[..50],
            offload: Offload::Tcp { segment: 10 }
        })
        .is_none()
    );
    assert!(bears_out(&tcp, 34, 16));
    assert!(!bears_out(&tcp, 34, 6));
    assert!(!bears_out(&tcp, 14, 16));
    for end in 0..tcp.len() {
        let _ = SuperFrame::parse(TapFrame {
            bytes: &tcp[..end],
            offload: Offload::Tcp { segment: 10 },
        });
    }
}
