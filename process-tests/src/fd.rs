//! Descriptors sent over a Unix socket, as programs without a common parent do it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Room for one descriptor's control message, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends a copy of `fd` with one byte of company.
///
/// # Errors
/// Those of `sendmsg`.
pub fn send(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    with_message(|message, header| {
        // SAFETY: the header lies in the message's control room, which is large enough for one descriptor.
        let header = unsafe { &mut *header };
        header.cmsg_level = libc::SOL_SOCKET;
        header.cmsg_type = libc::SCM_RIGHTS;
        header.cmsg_len = data_len().try_into().unwrap_or(0);
        // SAFETY: as above; the data follows the header.
        let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
        // SAFETY: as above.
        unsafe { data.write_unaligned(fd.as_raw_fd()) };
        // SAFETY: the message and all it refers to live until the call returns.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), message, 0) };
        if sent == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

/// Receives a descriptor.
///
/// # Errors
/// Those of `recvmsg`, or if something else came.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    with_message(|message, header| {
        // SAFETY: the message and all it refers to live until the call returns.
        let got = unsafe { libc::recvmsg(socket.as_raw_fd(), message, libc::MSG_CMSG_CLOEXEC) };
        if got != 1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the header lies in the message's control room, all zero or written by the kernel.
        let found = unsafe { &*header };
        if (found.cmsg_level, found.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS)
            || u32::try_from(found.cmsg_len) != Ok(data_len())
        {
            return Err(io::Error::other("no descriptor came"));
        }
        // SAFETY: the kernel wrote one descriptor behind the header.
        let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
        // SAFETY: as above.
        let fd = unsafe { data.read_unaligned() };
        // SAFETY: the kernel just gave us this descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// A few bytes. The C libraries disagree about the type of such lengths.
fn data_len() -> u32 {
    // SAFETY: arithmetic only.
    unsafe { libc::CMSG_LEN(size_of::<RawFd>() as u32) }
}

fn with_message<R>(action: impl FnOnce(&mut libc::msghdr, *mut libc::cmsghdr) -> R) -> R {
    let mut byte = [b'!'];
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: arithmetic only.
    let room = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) };
    message.msg_controllen = room.try_into().unwrap_or(0);
    // SAFETY: the message has a control room of sufficient size.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    action(&mut message, header)
}
