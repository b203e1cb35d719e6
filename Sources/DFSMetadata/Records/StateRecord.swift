import DFSCore

/// `m/state`: what every round changes. One record, so that it costs a ledger one operation.
struct StateRecord: StoredRecord, Hashable {
  /// Of the last mutation.
  var revision: Revision
  /// When the last round was executed.
  var time: ClusterTime
  /// The next serial number's counter. A number is handed out by the batch that raises this, so it is durable
  /// before anybody outside sees it, and no block of numbers is lost with a restart.
  var nextSerial: UInt64
  /// Of the last change of a group's members or a node's state: a commit whose seals are younger counts
  /// nobody again.
  var placement: Revision
  /// The request ids that are remembered, in ascending order of `hour` and `start`. Never empty.
  var hours: [RequestHour]
  var counts: NamespaceCounts
  /// Over every key but `m/`, `o/` and `k/`.
  var digest: StateDigest

  /// The ids whose `seen` is at least `start` and below the next hour's: their results are under `o/<hour>/`.
  struct RequestHour: Hashable {
    var hour: UInt32
    var start: Revision
    /// Over the results of the hour.
    var digest: StateDigest
  }

  static let what: StaticString = "state"
  /// Version 2 counts the trash.
  static let version: UInt8 = 2
  static let oldestVersion: UInt8 = 1
  static let mostHours = 1000

  init(time: ClusterTime) {
    revision = .zero
    self.time = time
    nextSerial = InodeID.root.rawValue + 1
    placement = .zero
    hours = [RequestHour(hour: time.hour, start: .zero, digest: .zero)]
    counts = NamespaceCounts()
    digest = .zero
  }

  /// Ids that saw an earlier revision are refused.
  var floor: Revision { hours[0].start }

  func writeFields(to writer: inout RecordWriter) {
    writer.revision(revision)
    writer.signed(time.rawValue)
    writer.number(nextSerial)
    writer.revision(placement)
    writer.number(UInt(hours.count))
    for hour in hours {
      writer.number(hour.hour)
      writer.revision(hour.start)
      writer.stateDigest(hour.digest)
    }
    for count in [counts.files, counts.directories, counts.chunks, counts.condemned, counts.openUploads] {
      writer.number(count)
    }
    writer.length(counts.bytes)
    writer.stateDigest(digest)
    writer.number(counts.trash)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    revision = try reader.revision()
    time = ClusterTime(rawValue: try reader.signed())
    nextSerial = try reader.number()
    placement = try reader.revision()
    hours = try (0..<(try reader.count(upTo: Self.mostHours))).map { _ in
      RequestHour(hour: try reader.number(), start: try reader.revision(), digest: try reader.stateDigest())
    }
    counts = NamespaceCounts()
    counts.files = try reader.number()
    counts.directories = try reader.number()
    counts.chunks = try reader.number()
    counts.condemned = try reader.number()
    counts.openUploads = try reader.number()
    counts.bytes = try reader.length()
    digest = try reader.stateDigest()
    if reader.recordVersion >= 2 { counts.trash = try reader.number() }
    guard !hours.isEmpty else { throw reader.corrupt("it remembers no hour") }
  }
}
