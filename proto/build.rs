//! Compiles the contract with protox (no protoc needed) and keeps the descriptors for reflection and proto JSON.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=superfasttt");
    let files = proto_files("superfasttt".into())?;
    let descriptors = protox::Compiler::new(["."])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?
        .file_descriptor_set();
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        // Equal messages encode to equal bytes, whatever process wrote them.
        .btree_map(".")
        // A chunk of a document shares the frame that it came in.
        .bytes(".superfasttt.connector.v1.FetchContentResponse")
        .bytes(".superfasttt.connector.v1.RawItem")
        .compile_fds(descriptors)?;
    Ok(())
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
