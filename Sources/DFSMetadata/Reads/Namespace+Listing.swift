import DFSCore

extension Namespace {
  /// One page of a listing, at one revision while its snapshot lives (five minutes, and a bounded number of
  /// them). Afterwards it goes on after the last name in the present state, and says so. Blocks.
  package func list(_ request: ListRequest) throws -> ListPage {
    guard (1...Limits.listEntries).contains(request.limit) else {
      throw DFSError(.invalidArgument, "a page of a listing has 1 to \(Limits.listEntries) entries")
    }
    if let after = request.after, !after.starts(with: request.path) {
      throw DFSError(
        .invalidArgument, "\(after) is not beneath \(request.path): a listing can not go on there")
    }
    let now = configuration.elapsed()
    let held = request.snapshot.flatMap { token in memory.with { $0.snapshots.view(token, now: now) } }
    let view = try held ?? view()
    var page = try view.list(request)
    page.isLaterRevision = request.after != nil && held == nil
    page.next = try continuation(of: request, page, view, held: held != nil, now: now)
    return page
  }

  /// Where the next page begins, and its snapshot: kept only when there is a next page.
  private func continuation(
    of request: ListRequest, _ page: ListPage, _ view: NamespaceView, held: Bool, now: Duration
  ) throws -> ListPage.Continuation? {
    guard let last = page.entries.last, page.entries.count == request.limit else {
      if let token = request.snapshot { memory.with { $0.snapshots.drop(token) } }
      return nil
    }
    let token = held ? request.snapshot : nil
    return ListPage.Continuation(
      after: last.path, snapshot: token ?? memory.with { $0.snapshots.keep(view, now: now) })
  }
}

extension NamespaceView {
  /// A page of at most `request.limit` entries. A file lists itself.
  func list(_ request: ListRequest) throws -> ListPage {
    var source = self
    let entry = try source.resolve(request.path)
    let exact = try source.record(Keys.state, StateRecord.self)?.revision ?? revision
    var page = ListPage(entries: [], revision: exact, isLaterRevision: false, next: nil)
    guard entry.kind == .directory else {
      let status = EntryStatus(entry, try inodeRecord(entry, request.path))
      if request.after == nil { page.entries = [ListPage.Entry(path: request.path, status: status)] }
      return page
    }
    let cursor = request.after?.components.dropFirst(request.path.components.count) ?? []
    var walk = try TreeWalk(
      reader, of: entry.inode, isRecursive: request.depth == .recursive, after: Array(cursor))
    while page.entries.count < request.limit, let step = try walk.next() {
      let path = RemotePath(components: request.path.components + step.names)
      page.entries.append(
        ListPage.Entry(path: path, status: EntryStatus(step.entry, try inodeRecord(step.entry, path))))
    }
    return page
  }
}
