//! Who this process is, and whether another one is gone for certain.

use super::file::{self, Stat};
use super::own_page;
use crate::error::Error;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The user whose files these are.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: cannot fail, touches no memory.
    unsafe { libc::geteuid() }
}

/// Bytes that change with each boot of the machine; `None` if there is no /proc to read them from.
///
/// # Errors
/// If they cannot be read though they are there: out of descriptors, for one.
pub(crate) fn boot_id() -> Result<Option<[u8; 16]>, Error> {
    let page = own_page::get()?;
    if let Some(words) = page.boot.recall() {
        return Ok(Some(bytemuck::cast(words)));
    }
    let mut text = [0; 64];
    let read = file::open(c"/proc/sys/kernel/random/boot_id", libc::O_RDONLY)
        .and_then(|fd| file::read_at(fd.as_fd(), &mut text, 0));
    let got = match read {
        Ok(got) => got,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(None),
        Err(source) => return Err(Error::Os { action: "read the boot id", source }),
    };
    let mut id = [0; 16];
    let mut digits = text[..got].iter().filter_map(|&digit| char::from(digit).to_digit(16));
    for byte in &mut id {
        match (digits.next(), digits.next()) {
            (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
            _ => return Err(Error::Unsupported { what: "a boot id of other than 32 hexadecimal digits" }),
        }
    }
    page.boot.remember(bytemuck::cast(id));
    Ok(Some(id))
}

/// A process as it describes itself to its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct ProcessId {
    /// The number in its own PID namespace.
    pub(crate) pid: u64,
    /// That namespace, by inode; 0 if unknown.
    pub(crate) namespace: u64,
    /// The inode of its pidfd, unique until the next boot (Linux 6.9); 0 if unknown.
    pub(crate) unique: u64,
}

impl ProcessId {
    /// The running process. Asks the kernel once; a forked child asks anew.
    pub(crate) fn own() -> Self {
        let page = own_page::get();
        if let Ok(page) = page
            && let Some([pid, namespace, unique]) = page.identity.recall()
        {
            return ProcessId { pid, namespace, unique };
        }
        let pid = std::process::id();
        let namespace = file::open(c"/proc/self/ns/pid", libc::O_RDONLY).and_then(Stat::of);
        let process = open_process(pid);
        // What could not be found out this time (out of descriptors, say) may be known the next.
        let certain = namespace.is_ok() && process.is_ok();
        let own = ProcessId {
            pid: u64::from(pid),
            namespace: namespace.map_or(0, |stat| stat.id().inode),
            unique: process.map_or(0, |fd| unique_inode(fd.as_fd())),
        };
        if let Ok(page) = page
            && certain
        {
            page.identity.remember([own.pid, own.namespace, own.unique]);
        }
        own
    }

    /// Whether this process is gone for certain, seen from `observer`. Not knowing is "no".
    pub(crate) fn is_gone(self, observer: ProcessId) -> bool {
        let Ok(pid) = u32::try_from(self.pid) else { return false };
        if pid == 0 || self.namespace == 0 || self.namespace != observer.namespace {
            return false;
        }
        match open_process(pid) {
            Ok(fd) => {
                let now = unique_inode(fd.as_fd());
                has_ended(fd.as_fd()) || (self.unique != 0 && now != 0 && now != self.unique)
            }
            Err(error) => error.raw_os_error() == Some(libc::ESRCH),
        }
    }
}

fn open_process(pid: u32) -> std::io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// On old kernels all pidfds share one inode, that of the anonymous file system: that says nothing.
fn unique_inode(fd: BorrowedFd<'_>) -> u64 {
    const PID_FILE_SYSTEM: u64 = 0x5049_4446;
    // SAFETY: all zeroes is a valid `statfs`.
    let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
    // SAFETY: `stat` is a valid place for the answer.
    let answer = unsafe { libc::fstatfs(fd.as_raw_fd(), &mut stat) };
    if answer != 0 || stat.f_type as u64 != PID_FILE_SYSTEM {
        return 0;
    }
    Stat::of(fd).map_or(0, |stat| stat.id().inode)
}

/// A pidfd is readable once the process has ended, also while it is an unreaped zombie.
fn has_ended(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid entry.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_is_gone_and_we_are_not() {
        let us = ProcessId::own();
        assert!(!us.is_gone(us));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let its = ProcessId { pid: u64::from(child.id()), unique: 0, ..us };
        // Not reaped yet: once its pidfd is readable it is a zombie, and a zombie counts as gone.
        while !its.is_gone(us) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(its.is_gone(us));
    }

    #[test]
    fn a_stranger_from_another_namespace_is_never_called_gone() {
        let us = ProcessId::own();
        let stranger = ProcessId { pid: 4_000_000, namespace: us.namespace + 1, unique: 0 };
        assert!(!stranger.is_gone(us));
    }

    #[test]
    fn the_boot_id_is_what_the_kernel_says_each_time() {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        for _ in 0..2 {
            let id = boot_id().unwrap().unwrap();
            let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits, text.trim().replace('-', ""));
        }
    }

    #[test]
    fn a_child_knows_itself_and_not_its_parent() {
        let us = ProcessId::own();
        assert_eq!(us, ProcessId::own(), "remembered");
        // SAFETY: the child only looks at itself and leaves.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let its = ProcessId::own();
            let right = its.pid == u64::from(std::process::id()) && its.namespace == us.namespace;
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(if right && its != us { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
    }
}
