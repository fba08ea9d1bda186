//! Compiles the contract with protox (no protoc needed) and keeps the descriptors for reflection and proto JSON.

#[path = "build/debug.rs"]
mod debug;

use std::path::PathBuf;

use protox::prost_reflect::prost_types::FileDescriptorSet;
use protox::prost_reflect::prost_types::field_descriptor_proto::Type;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for source in ["superfasttt", "build.rs", "build"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let files = proto_files("superfasttt".into())?;
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    // Not the set of above encoded: its types do not know all options, and would lose `debug_redact`.
    std::fs::write(out_dir.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let underived = debug::underived(&compiler.descriptor_pool());
    std::fs::write(out_dir.join("debug.rs"), debug::implementations(&underived)?)?;
    std::fs::write(out_dir.join("printers.rs"), debug::printers(&compiler.descriptor_pool())?)?;
    let secret: Vec<String> = underived.iter().map(|message| format!(".{}", message.full_name())).collect();
    tonic_prost_build::configure()
        .skip_debug(&secret)
        // Equal messages encode to equal bytes, whatever process wrote them.
        .btree_map(".")
        // A chunk of a document shares the frame that it came in.
        .bytes(".superfasttt.connector.v1.FetchContentResponse")
        .bytes(".superfasttt.connector.v1.RawItem")
        .compile_fds(descriptors.clone())?;
    let served = out_dir.join("served");
    std::fs::create_dir_all(&served)?;
    tonic_prost_build::configure()
        .out_dir(served)
        .skip_debug(&secret)
        .build_client(false)
        .bytes(".superfasttt.control.v1.FeedEntry")
        .extern_path(".superfasttt.connector.v1", "crate::connector::v1")
        .compile_fds(with_encoded_documents(descriptors.clone()))?;
    let pulled = out_dir.join("pulled");
    std::fs::create_dir_all(&pulled)?;
    pulled_builder(&descriptors)
        .out_dir(pulled)
        .skip_debug(&secret)
        .build_server(false)
        .bytes(".superfasttt.connector.v1.Change")
        .compile_fds(with_encoded_changes(descriptors))?;
    Ok(())
}

/// The document service as the server serves it: a document is stored encoded, and on the wire an embedded message is
/// its bytes, so it is sent as it is stored, without being decoded and encoded again for each reader.
fn with_encoded_documents(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    const FILES: [&str; 4] = [
        "google/protobuf/struct.proto",
        "google/protobuf/timestamp.proto",
        "superfasttt/connector/v1/document.proto",
        "superfasttt/control/v1/document.proto",
    ];
    descriptors.file.retain(|file| FILES.contains(&file.name()));
    let messages = descriptors.file.iter_mut().flat_map(|file| &mut file.message_type);
    let entries = messages.filter(|message| message.name() == "FeedEntry");
    for field in entries.flat_map(|message| &mut message.field).filter(|field| field.name() == "document") {
        field.set_type(Type::Bytes);
        field.type_name = None;
    }
    descriptors
}

const CONNECTOR_PACKAGE: &str = "superfasttt.connector.v1";

/// A pull as the server reads it: a document stays the bytes that came, so that one that came before is known by their
/// hash and is never taken apart.
fn with_encoded_changes(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    descriptors.file.retain(|file| !file.package().starts_with("superfasttt.control"));
    for file in descriptors.file.iter_mut().filter(|file| file.package() == CONNECTOR_PACKAGE) {
        // Comments are found by place, and the places change.
        file.source_code_info = None;
        for service in &mut file.service {
            service.method.retain(|method| method.name() == "Pull");
        }
        let changes = file.message_type.iter_mut().filter(|message| message.name() == "Change");
        for field in changes.flat_map(|message| &mut message.field).filter(|field| field.name() == "document")
        {
            field.set_type(Type::Bytes);
            field.type_name = None;
        }
    }
    descriptors
}

/// Makes anew only the messages around a document; the others are those of `connector::v1`.
fn pulled_builder(descriptors: &FileDescriptorSet) -> tonic_prost_build::Builder {
    const MADE_ANEW: [&str; 3] = ["PullResponse", "Page", "Change"];
    let mut builder = tonic_prost_build::configure();
    for file in descriptors.file.iter().filter(|file| file.package() == CONNECTOR_PACKAGE) {
        let messages = file.message_type.iter().map(|message| message.name());
        let names = messages.chain(file.enum_type.iter().map(|kind| kind.name()));
        for name in names.filter(|name| !MADE_ANEW.contains(name)) {
            builder = builder
                .extern_path(format!(".{CONNECTOR_PACKAGE}.{name}"), format!("crate::connector::v1::{name}"));
        }
    }
    builder
}

/// Every `.proto` under `folder`, in a stable order.
fn proto_files(folder: PathBuf) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
