//! iceoryx2: publish-subscribe, without loss.

use iceoryx2::{
    config::Config,
    node::{Node, NodeBuilder},
    port::{publisher::Publisher, subscriber::Subscriber},
    prelude::{BackpressureStrategy, Path as IoxPath, SemanticString, ServiceName, SignalHandlingMode, ipc},
    service::port_factory::publish_subscribe::PortFactory,
};

use super::{Group, Link, Mode, Named, Opener, Peer, Place, Result, Setup, Transport};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "iceoryx2",
    title: "iceoryx2",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Poll],
    longest: 1 << 20,
    copies: 1,
    blocks: false,
    note: "loaned, copied in, read in place; up to 256 messages deep; nobody is woken",
    optional: false,
    run: worker::measure::<Iceoryx2>,
    open: Some(worker::measure_opening::<Iceoryx2>),
    many: None,
};

struct Iceoryx2;

type Service = PortFactory<ipc::Service, [u8], ()>;

/// All its files in the directory of this run, all its memory under this run's name.
fn node(setup: &Setup) -> Result<Node<ipc::Service>> {
    iceoryx2::prelude::set_log_level(iceoryx2::prelude::LogLevel::Fatal);
    let mut config = Config::default();
    config.global.set_root_path(&IoxPath::new(setup.dir.to_string_lossy().as_bytes())?);
    config.global.prefix = setup.name.as_str().try_into()?;
    Ok(NodeBuilder::new().config(&config).signal_handling_mode(SignalHandlingMode::Disabled).create()?)
}

fn service(node: &Node<ipc::Service>, name: &str, depth: usize) -> Result<Service> {
    Ok(node
        .service_builder(&ServiceName::new(name)?)
        .publish_subscribe::<[u8]>()
        .max_publishers(1)
        .max_subscribers(1)
        .history_size(0)
        .subscriber_max_borrowed_samples(1)
        .subscriber_max_buffer_size(depth)
        .enable_safe_overflow(false)
        .open_or_create()?)
}

fn publisher(service: &Service, len: usize) -> Result<Publisher<ipc::Service, [u8], ()>> {
    Ok(service
        .publisher_builder()
        .initial_max_slice_len(len)
        .max_loaned_samples(1)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()?)
}

struct Ports {
    tx: Publisher<ipc::Service, [u8], ()>,
    rx: Subscriber<ipc::Service, [u8], ()>,
    _node: Node<ipc::Service>,
}

impl Link for Ports {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let loan = self.tx.loan_slice_uninit(message.len())?;
        match loan.write_from_slice(message).send()? {
            1 => Ok(()),
            receivers => Err(format!("sent to {receivers} receivers").into()),
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        loop {
            if let Some(sample) = self.rx.receive()? {
                return Ok(read(sample.payload()));
            }
            std::hint::spin_loop();
        }
    }
}

impl Transport for Iceoryx2 {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let [to, fro] = setup.names();
        let end = |to: String, fro: String, setup: Setup| {
            move || {
                let node = node(&setup)?;
                let depth = setup.depth().min(256);
                let rx = service(&node, &fro, depth)?.subscriber_builder().create()?;
                let tx = publisher(&service(&node, &to, depth)?, setup.len)?;
                Ok(Ports { tx, rx, _node: node })
            }
        };
        Ok((end(to.clone(), fro.clone(), setup.clone()), end(fro, to, setup.clone())))
    }
}

impl Named for Iceoryx2 {
    type Context = Node<ipc::Service>;
    type Made = (Publisher<ipc::Service, [u8], ()>, Service);
    type Attached = (Subscriber<ipc::Service, [u8], ()>, Service);

    /// One node a process, as iceoryx2 means it to be: it is not counted.
    fn prepare(setup: &Setup) -> Result<Node<ipc::Service>> {
        node(setup)
    }

    fn create(node: &Node<ipc::Service>, name: &str) -> Result<Self::Made> {
        let service = service(node, name, 256)?;
        Ok((publisher(&service, 256)?, service))
    }

    fn attach(node: &Node<ipc::Service>, name: &str) -> Result<Self::Attached> {
        let service = service(node, name, 256)?;
        Ok((service.subscriber_builder().create()?, service))
    }

    /// It goes with its last user.
    fn remove(_: &Node<ipc::Service>, _: &str) -> Result<()> {
        Ok(())
    }
}
