//! What a file is that is not safetensors, by its first bytes, and how its weights become so.

/// How the weights in a file of PyTorch are written as safetensors.
const TORCH: &str = "load it in Python and write its state dict with \
                     `safetensors.torch.save_file(torch.load(\"FILE\", map_location=\"cpu\"), \
                     \"FILE.safetensors\")`";

/// The same for a file of Keras.
const KERAS: &str = "write its weights with `safetensors.numpy.save_file` in Python";
/// The same for arrays of NumPy.
const NUMPY: &str = "write its arrays with `safetensors.numpy.save_file` in Python";
/// The same for a model in ONNX.
const ONNX: &str = "write its initializers with `safetensors.numpy.save_file` in Python";
/// The longest header of a safetensors file, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// What the bytes are, and what to do; `None` where that is not known.
pub(super) fn named(bytes: &[u8]) -> Option<String> {
    // A header behind its length: a checkpoint with another fault.
    let length = bytes.first_chunk().map(|eight| u64::from_le_bytes(*eight));
    if bytes.get(8) == Some(&b'{') && length.is_some_and(|length| length <= LONGEST_HEADER) {
        return None;
    }
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    let text = bytes.trim_ascii_start();
    let markup = |tag: &str| {
        let start = text.get(..tag.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    };
    let (what, remedy) = if bytes.is_empty() {
        ("an empty file", "copy or download it again")
    } else if begins(b"PK\x03\x04") && holds(b"model.weights.h5") {
        ("a model of Keras", KERAS)
    } else if begins(b"PK\x03\x04") && holds(b".npy") {
        ("an archive of NumPy arrays (.npz)", NUMPY)
    } else if begins(b"PK\x03\x04") {
        ("a zip archive, as PyTorch writes its files", TORCH)
    } else if begins(b"\x93NUMPY") {
        ("a NumPy array (.npy)", NUMPY)
    } else if begins(b"GGUF") {
        (
            "a GGUF file of a language model",
            "name the weights of a network for images",
        )
    } else if let [0x08, 1..=20, 0x12, ..] = bytes {
        // A version and the name of the program: the first two fields of a model.
        ("an ONNX model", ONNX)
    } else if bytes.len() > 1 && bytes[0] == 0x80 && (2..=5).contains(&bytes[1]) {
        ("a Python pickle, as older versions of PyTorch write", TORCH)
    } else if begins(b"version https://git-lfs.") {
        (
            "a pointer of Git LFS in place of the file",
            "fetch the file with `git lfs pull`",
        )
    } else if markup("<!doctype html") || markup("<html") {
        (
            "an HTML page, as a failed download leaves it",
            "download the file itself again",
        )
    } else if begins(b"\x89HDF\r\n\x1a\n") {
        ("an HDF5 file, as Keras writes", KERAS)
    } else if begins(b"\x1f\x8b") {
        ("compressed with gzip", "decompress it with `gunzip`")
    } else if bytes.get(257..262) == Some(b"ustar") {
        ("a tar archive", "unpack it with `tar xf`")
    } else if begins(b"{") {
        (
            "JSON, such as the index of weights in several files",
            "name the file of the weights",
        )
    } else {
        return None;
    };
    Some(format!("it is {what}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_other_files_are_named_with_a_remedy() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: [(&[u8], &str, &str); 17] = [
            (b"{\"abcd\":{\"x\": 1}}", "JSON", "file of the weights"),
            (
                b"PK\x03\x04..config.json..model.weights.h5",
                "a model of Keras",
                "numpy.save_file",
            ),
            (b"PK\x03\x04..arr_0.npy", "NumPy arrays", "numpy.save_file"),
            (b"\x93NUMPY\x01\0", "a NumPy array", "numpy.save_file"),
            (b"GGUF\x03\0", "a GGUF file", "for images"),
            (b"\x08\x07\x12\x07pytorch", "an ONNX model", "initializers"),
            (b"", "an empty file", "again"),
            (b"PK\x03\x04\0\0", "a zip archive", "save_file(torch.load("),
            (b"\x80\x02}q\0", "a Python pickle", "save_file(torch.load("),
            (b"\x80\x04\x95", "a Python pickle", "save_file(torch.load("),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "a pointer of Git LFS",
                "git lfs pull",
            ),
            (b"\n<!DOCTYPE HTML><html>", "an HTML page", "download"),
            (b"<html lang=\"en\">", "an HTML page", "download"),
            (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file", "numpy.save_file"),
            (b"\x1f\x8b\x08\0", "gzip", "gunzip"),
            (&tar, "a tar archive", "tar xf"),
            (b"{\"weight_map\": {}}", "JSON", "file of the weights"),
        ];
        for (bytes, what, remedy) in cases {
            let said = named(bytes).unwrap();
            assert!(said.contains(what) && said.contains(remedy), "{said}");
        }
        assert_eq!(named(b"not weights"), None);
        assert_eq!(named(&[0x80]), None);
        assert_eq!(named(b"\x80\x02\0\0\0\0\0\0{\"__metadata__\""), None);
    }
}
