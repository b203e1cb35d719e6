package import DFSCore

/// Makes a directory, with its missing parents when asked.
package struct MakeDirectory: Mutation {
  package enum Parents: UInt8, Sendable, Hashable {
    /// The parent must exist, the name must be free.
    case mustExist = 1
    /// `mkdir -p`: makes what is missing, and succeeds when the directory is there already.
    case make = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    /// How many directories were made; zero when it was there.
    package var made: UInt16
  }

  package var path: RemotePath
  package var parents: Parents
  package var attributes: FileAttributes
  /// `nil`: the parent's.
  package var policy: PlacementPolicy?

  package init(
    path: RemotePath, parents: Parents, attributes: FileAttributes, policy: PlacementPolicy? = nil
  ) {
    self.path = path
    self.parents = parents
    self.attributes = attributes
    self.policy = policy
  }
}

extension MakeDirectory {
  package static var kind: OperationKind { .makeDirectory }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.path(path)
    writer.byte(parents.rawValue)
    writer.attributes(attributes)
    writer.optional(policy) { $0.policy($1) }
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.inode(outcome.inode)
    writer.number(outcome.made)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(inode: try reader.inode(), made: try reader.number())
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    try transaction.checkAttributes(attributes)
    try transaction.checkPolicy(policy)
    guard parents == .make else { return try makeOne(in: &transaction) }
    var directory = InodeID.root
    var made: UInt16 = 0
    for (depth, name) in path.components.enumerated() {
      guard let entry = try transaction.record(Keys.entry(directory, name), EntryRecord.self) else {
        guard made < Limits.directoriesPerMake else {
          throw DFSError(
            .invalidArgument,
            "more than \(Limits.directoriesPerMake) directories are missing: make them in steps")
        }
        directory = try make(name, in: directory, &transaction)
        made += 1
        continue
      }
      guard entry.kind == .directory else {
        let place = RemotePath(components: Array(path.components[...depth]))
        throw DFSError(
          depth == path.components.count - 1 ? .alreadyExists : .failedPrecondition,
          "\(place) is a file, not a directory", metadata: ["path": place.description])
      }
      directory = entry.inode
    }
    return Outcome(inode: directory, made: made)
  }

  private func makeOne(in transaction: inout Transaction) throws -> Outcome {
    guard let name = path.name, try transaction.find(path) == nil else {
      throw DFSError(.alreadyExists, "\(path) exists already", metadata: ["path": path.description])
    }
    return Outcome(inode: try make(name, in: try transaction.parent(of: path), &transaction), made: 1)
  }

  private func make(
    _ name: FileName, in parent: InodeID, _ transaction: inout Transaction
  ) throws -> InodeID {
    let inode = transaction.nextInode()
    let record = DirectoryRecord(
      place: DirectoryRecord.Place(parent: parent, name: name),
      attributes: attributes.dated(transaction.context.wallTime),
      created: transaction.context.wallTime, policy: try policy ?? transaction.directory(parent).policy,
      revision: transaction.revision)
    transaction.insert(InodeRecord.directory(record), at: Keys.inode(inode))
    try transaction.bind(name, in: parent, to: inode, .directory)
    transaction.count { $0.directories += 1 }
    return inode
  }
}
