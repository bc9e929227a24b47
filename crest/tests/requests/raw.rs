//! Messages as bytes, whatever they mean.

use prost::bytes::{Buf as _, BufMut as _};
use tonic::Request;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;

use crate::processes::{Server, channel};

/// Bytes as they are, whatever they mean.
#[derive(Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        to.put_slice(&item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// Calls a method with these bytes.
pub(crate) async fn call(server: &Server, method: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel(server.address));
    client.ready().await.expect("the server is there");
    let method = PathAndQuery::from_static(method);
    client.unary(Request::new(bytes), method, Raw).await.map(tonic::Response::into_inner)
}
