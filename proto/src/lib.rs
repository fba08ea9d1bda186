//! The contract of superfasttt connectors as Rust types: `connector::v1` is what a connector serves,
//! `control::v1` what connectord serves. The `.proto` files beside this crate are the thing to read; [`error`]
//! carries the table of reasons to and from `google.rpc` details.

pub mod error;
mod secret;

/// What a connector serves.
pub mod connector {
    /// Package `superfasttt.connector.v1`.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated; the comments are in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("superfasttt.connector.v1");
    }

    /// The answers of `Pull` for the one who calls it: the same on the wire, with a document as its encoded bytes.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated; the comments are in the .proto files"
    )]
    pub mod pulled {
        include!(concat!(env!("OUT_DIR"), "/pulled/superfasttt.connector.v1.rs"));
    }
}

/// What connectord serves.
pub mod control {
    /// Package `superfasttt.control.v1`.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated; the comments are in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("superfasttt.control.v1");
    }

    /// `DocumentService` of package `superfasttt.control.v1` for the one who serves it: the same on the wire, with a
    /// document as its encoded bytes.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated; the comments are in the .proto files"
    )]
    pub mod served {
        include!(concat!(env!("OUT_DIR"), "/served/superfasttt.control.v1.rs"));
    }
}

/// The descriptors of every file of the contract and what it imports: an encoded
/// `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The newest revision of the connector contract that this crate knows.
pub const CONTRACT_REVISION: u32 = 1;

/// The largest message that either side sends: the default limit of every gRPC library.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
