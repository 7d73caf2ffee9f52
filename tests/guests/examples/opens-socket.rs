//! Wants the network.

use std::io::Read;
use std::net::TcpStream;

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("opens-socket", "Wants the network", |call, device, hubs| {
    let mut read = String::new();
    TcpStream::connect("192.0.2.1:80")
        .and_then(|mut stream| stream.read_to_string(&mut read))
        .map_err(|error| Fault::internal(error.to_string()))?;
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("read", read).into())
});
