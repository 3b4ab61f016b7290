//! Where everything is to listen, reserved before anything starts.

use std::net::SocketAddr;

use crate::cli::Shop;
use crate::running::address::{AddressError, Reserved};
use crate::running::member::Service;
use crate::running::sidecar::Directory;
use crate::running::table::{RefrainRow, ServiceRow};

/// The addresses of the whole shop.
#[derive(Debug)]
pub struct Addresses {
    /// Of the services.
    pub services: Vec<OfService>,
    /// Of the edge.
    pub edge: OfRefrain,
}

/// The addresses of a service and its sidecars.
#[derive(Debug)]
pub struct OfService {
    /// Which.
    pub service: Service,
    /// Its own.
    pub address: Reserved,
    /// Its sidecars'.
    pub sidecars: Vec<OfRefrain>,
}

/// The addresses of a Refrain.
#[derive(Debug)]
pub struct OfRefrain {
    /// Its own.
    pub listen: Reserved,
    /// Of its admin side.
    pub admin: Reserved,
}

impl Addresses {
    /// Reserves all that `shop` needs.
    ///
    /// # Errors
    /// When one is taken, or is no address of this machine.
    pub fn reserve(shop: &Shop) -> Result<Self, AddressError> {
        let edge = OfRefrain {
            listen: Reserved::new(shop.listen, "choose another address for the edge with --listen ADDR (port 0: any free one)")?,
            admin: Reserved::new(
                shop.admin,
                "choose another address for the edge's admin side with --admin ADDR (port 0: any free one)",
            )?,
        };
        let inner = |address: SocketAddr| match shop.free_ports {
            true => Reserved::any(),
            false => Reserved::new(address, "let services and sidecars take free ports with --free-ports"),
        };
        let of_service = |service: Service| {
            let address = inner(service.address())?;
            let first = OfRefrain { listen: inner(service.sidecar_address())?, admin: inner(service.admin_address())? };
            let more = (1..shop.replicas).map(|_| Ok(OfRefrain { listen: Reserved::any()?, admin: Reserved::any()? }));
            let sidecars = std::iter::once(Ok(first)).chain(more).collect::<Result<_, AddressError>>()?;
            Ok(OfService { service, address, sidecars })
        };
        Ok(Self { services: Service::ALL.into_iter().map(of_service).collect::<Result<_, _>>()?, edge })
    }

    /// Where everyone is, for those who go there.
    pub fn directory(&self) -> Directory {
        let row = |of: &OfService| {
            let sidecars = of.sidecars.iter().map(|sidecar| sidecar.listen.address()).collect();
            (of.service, of.address.address(), sidecars)
        };
        Directory { services: self.services.iter().map(row).collect() }
    }

    /// Where everyone is, for those who watch. Nobody runs yet.
    pub fn rows(&self, database: impl Fn(Service) -> String) -> (RefrainRow, Vec<ServiceRow>) {
        let refrain = |of: &OfRefrain| RefrainRow::new(of.listen.address(), of.admin.address());
        let row = |of: &OfService| {
            let sidecars = of.sidecars.iter().map(refrain).collect();
            ServiceRow::new(of.service, of.address.address(), database(of.service), sidecars)
        };
        (refrain(&self.edge), self.services.iter().map(row).collect())
    }
}
