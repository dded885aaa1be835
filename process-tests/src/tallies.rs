//! `peer tally PATH VERB...`: attaches to a queue that counts what is done, and follows a script.
//!
//! ```text
//! VERB    put:SENDER:COUNT     sends numbered parcels; prints "sent"
//!         stream:SENDER        sends numbered parcels until refused; prints each number once it was sent
//!         work                 receives, prints sender and number, and says that one is done, then prints "done", until the
//!                              queue is closed and empty; then prints "closed"
//!         join                 waits until all are done; prints "joined"
//! ```

use crate::{Failure, common, say};
use process_tests::parcel;
use ringway::{Deadline, RecvError, TallyQueue};

pub(super) fn play(path: &str, script: &[&str]) -> Result<(), Failure> {
    let jobs = TallyQueue::open(path)?;
    for verb in script {
        let verb: Vec<&str> = verb.split(':').collect();
        match verb[..] {
            ["put", sender, count] => {
                let sender: u64 = sender.parse()?;
                (0..count.parse()?).try_for_each(|count| jobs.send(&make(sender << 32 | count)))?;
                say("sent");
            }
            ["stream", sender] => {
                let sender: u64 = sender.parse()?;
                for count in 0.. {
                    if jobs.send(&make(sender << 32 | count)).is_err() {
                        say("refused");
                        break;
                    }
                    say(count);
                }
            }
            ["work"] => work(&jobs)?,
            ["join"] => {
                jobs.join()?;
                say("joined");
            }
            _ => drop(common(&verb)?),
        }
    }
    Ok(())
}

fn make(number: u64) -> Vec<u8> {
    parcel::make(number, parcel::len_of(number, 2000))
}

fn work(jobs: &TallyQueue) -> Result<(), Failure> {
    let mut buffer = vec![];
    for turn in 0_u64.. {
        // In place and as a copy.
        let received = if turn % 2 == 0 {
            jobs.recv().map(|message| parcel::check(&message))
        } else {
            jobs.recv_into(&mut buffer, Deadline::NEVER).map(|_| parcel::check(&buffer))
        };
        match received {
            Ok(number) => {
                let number = number?;
                say(format_args!("{} {}", number >> 32, number as u32));
            }
            Err(RecvError::Closed) => break,
            Err(other) => return Err(other.into()),
        }
        jobs.task_done()?;
        say("done");
    }
    say("closed");
    Ok(())
}
