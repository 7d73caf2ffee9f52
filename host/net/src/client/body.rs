//! The body of a request: nothing, bytes, or a file that is read while it is sent.

use std::io::Read as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The body of a request: nothing, bytes or a file.
pub struct RequestBody {
    content: Content,
    sent: Arc<AtomicU64>,
}

/// A file to send. It is read in parts, a few parts ahead of what the connection has taken, so a file of any size
/// needs little memory.
pub struct FileUpload {
    parts: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
    progress: Option<Progress>,
}

/// Called with the number of bytes that were just taken.
type Progress = Box<dyn Fn(u64) + Send + Sync>;

enum Content {
    Whole(Bytes),
    File(FileUpload),
}

impl FileUpload {
    /// Opens a file and begins to read it. Its size is taken now; if the file is truncated while it is read, the
    /// request ends with an error.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or is a folder.
    pub async fn open(path: &Path) -> std::io::Result<Self> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::open(&path)?;
            let about = file.metadata()?;
            if about.is_dir() {
                return Err(std::io::Error::from(std::io::ErrorKind::IsADirectory));
            }
            if !about.is_file() {
                return Err(std::io::Error::other("it is no regular file: write what comes from it to one first"));
            }
            Ok((file, about.len()))
        });
        let (file, len) = opened.await.map_err(std::io::Error::other)??;
        let (sender, parts) = mpsc::channel(PARTS_AHEAD);
        tokio::task::spawn_blocking(move || read_parts(file.take(len), &sender));
        Ok(Self { parts, left: len, progress: None })
    }

    /// Calls `progress` with the number of bytes of each part that the connection takes.
    #[must_use]
    pub fn telling(mut self, progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// The number of bytes that are still to be sent.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl RequestBody {
    /// The counter of the bytes that the connection has taken.
    pub(super) fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let part = match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Content::Whole(bytes) => std::mem::take(bytes),
            Content::File(file) => match file.parts.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(part))) => {
                    let len = u64::try_from(part.len()).unwrap_or(u64::MAX);
                    file.left = file.left.saturating_sub(len);
                    if let Some(progress) = &file.progress {
                        progress(len);
                    }
                    part
                }
            },
        };
        self.sent.fetch_add(u64::try_from(part.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::File(file) => file.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.content {
            Content::Whole(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Content::File(file) => file.left,
        })
    }
}

impl From<Content> for RequestBody {
    fn from(content: Content) -> Self {
        Self { content, sent: Arc::default() }
    }
}
impl From<()> for RequestBody {
    fn from((): ()) -> Self {
        Content::Whole(Bytes::new()).into()
    }
}
impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Content::Whole(bytes).into()
    }
}
impl From<Vec<u8>> for RequestBody {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}
impl From<String> for RequestBody {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}
impl From<FileUpload> for RequestBody {
    fn from(file: FileUpload) -> Self {
        Content::File(file).into()
    }
}

/// Reads until the end of the file, or until the receiver of the parts is gone.
fn read_parts(mut file: std::io::Take<std::fs::File>, parts: &mpsc::Sender<std::io::Result<Bytes>>) {
    loop {
        let mut part = vec![0; PART_BYTES];
        let read = match file.read(&mut part) {
            Ok(0) if file.limit() == 0 => return,
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                part.truncate(len);
                Ok(Bytes::from(part))
            }
            Err(error) => Err(error),
        };
        let failed = read.is_err();
        if parts.blocking_send(read).is_err() || failed {
            return;
        }
    }
}

/// The size of one part.
const PART_BYTES: usize = 256 << 10;
/// How many parts are read ahead of the connection.
const PARTS_AHEAD: usize = 4;
