-- Organizations own projects; projects own boards and tags; boards own columns; columns hold cards.

CREATE TABLE organizations (
    domain_id uuid NOT NULL DEFAULT current_domain_id() REFERENCES domains (id),
    id uuid NOT NULL,
    slug text NOT NULL CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CONSTRAINT organizations_slug_key UNIQUE (domain_id, slug)
);
COMMENT ON TABLE organizations IS 'A top-level group inside a domain; owns projects.';
COMMENT ON COLUMN organizations.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN organizations.id IS 'UUIDv7.';
COMMENT ON COLUMN organizations.slug IS 'Short name; unique within the domain.';
COMMENT ON COLUMN organizations.name IS 'Name shown to people.';
COMMENT ON COLUMN organizations.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN organizations.created_at IS 'When the row was made.';
COMMENT ON COLUMN organizations.updated_at IS 'When the row last changed.';

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON organizations TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (slug, name, version, updated_at), DELETE ON organizations TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations TO plinth_system;

CREATE TABLE organization_members (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, organization_id, user_id),
    FOREIGN KEY (domain_id, organization_id) REFERENCES organizations (domain_id, id) ON DELETE CASCADE,
    FOREIGN KEY (domain_id, user_id) REFERENCES users (domain_id, id)
);
COMMENT ON TABLE organization_members IS 'Who belongs to an organization. What they may do there is said by user_roles.';
COMMENT ON COLUMN organization_members.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN organization_members.organization_id IS 'Organization.';
COMMENT ON COLUMN organization_members.user_id IS 'Member.';
COMMENT ON COLUMN organization_members.created_at IS 'When the user became a member.';
CREATE INDEX organization_members_user_idx ON organization_members (domain_id, user_id);

ALTER TABLE organization_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization_members FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organization_members TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON organization_members TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON organization_members TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON organization_members TO plinth_system;

CREATE TABLE projects (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    key text NOT NULL CHECK (key ~ '^[A-Z][A-Z0-9]{1,9}$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 20000),
    last_number integer NOT NULL DEFAULT 0 CHECK (last_number >= 0),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CONSTRAINT projects_key_key UNIQUE (domain_id, key),
    FOREIGN KEY (domain_id, organization_id) REFERENCES organizations (domain_id, id)
);
COMMENT ON TABLE projects IS 'Owns boards and tags; its key begins the numbers of its cards, such as OPS-1.';
COMMENT ON COLUMN projects.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN projects.id IS 'UUIDv7.';
COMMENT ON COLUMN projects.organization_id IS 'Organization that owns the project.';
COMMENT ON COLUMN projects.key IS 'Two to ten capital letters and digits; unique within the domain.';
COMMENT ON COLUMN projects.name IS 'Name shown to people.';
COMMENT ON COLUMN projects.description IS 'What the project is about.';
COMMENT ON COLUMN projects.last_number IS 'Number given out last; locked while a number is taken, so there are no gaps and no twins.';
COMMENT ON COLUMN projects.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN projects.created_at IS 'When the row was made.';
COMMENT ON COLUMN projects.updated_at IS 'When the row last changed.';
CREATE INDEX projects_organization_idx ON projects (domain_id, organization_id, id);

ALTER TABLE projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE projects FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON projects TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON projects TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (key, name, description, last_number, version, updated_at), DELETE ON projects TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON projects TO plinth_system;

CREATE TABLE boards (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    -- What cards and columns refer to, so that a card cannot stand on a board of another project.
    CONSTRAINT boards_project_key UNIQUE (domain_id, id, project_id),
    FOREIGN KEY (domain_id, project_id) REFERENCES projects (domain_id, id)
);
COMMENT ON TABLE boards IS 'A kanban board of a project.';
COMMENT ON COLUMN boards.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN boards.id IS 'UUIDv7.';
COMMENT ON COLUMN boards.project_id IS 'Project that owns the board.';
COMMENT ON COLUMN boards.name IS 'Name shown to people.';
COMMENT ON COLUMN boards.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN boards.created_at IS 'When the row was made.';
COMMENT ON COLUMN boards.updated_at IS 'When the row last changed.';
CREATE INDEX boards_project_idx ON boards (domain_id, project_id, id);

ALTER TABLE boards ENABLE ROW LEVEL SECURITY;
ALTER TABLE boards FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON boards TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON boards TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (name, version, updated_at), DELETE ON boards TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON boards TO plinth_system;

CREATE TABLE board_columns (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    board_id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    rank text COLLATE "C" NOT NULL CHECK (rank ~ '^[0-9A-Za-z]{2,200}$'),
    wip_limit integer CHECK (wip_limit BETWEEN 1 AND 100000),
    wip_policy text NOT NULL DEFAULT 'off' CHECK (wip_policy IN ('off', 'warn', 'block')),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CONSTRAINT board_columns_board_key UNIQUE (domain_id, id, board_id, project_id),
    -- Checked at the end of a statement, so that one UPDATE may spread all ranks anew.
    CONSTRAINT board_columns_rank_key UNIQUE (domain_id, board_id, rank) DEFERRABLE INITIALLY IMMEDIATE,
    FOREIGN KEY (domain_id, board_id, project_id) REFERENCES boards (domain_id, id, project_id) ON DELETE CASCADE,
    CHECK (wip_policy = 'off' OR wip_limit IS NOT NULL)
);
COMMENT ON TABLE board_columns IS 'A column of a board. Its row is locked while cards come in, so that ranks and limits hold.';
COMMENT ON COLUMN board_columns.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN board_columns.id IS 'UUIDv7.';
COMMENT ON COLUMN board_columns.project_id IS 'Project of the board.';
COMMENT ON COLUMN board_columns.board_id IS 'Board that the column stands on.';
COMMENT ON COLUMN board_columns.name IS 'Name shown to people.';
COMMENT ON COLUMN board_columns.rank IS 'Place among the columns: text compared byte by byte, unique within the board.';
COMMENT ON COLUMN board_columns.wip_limit IS 'How many cards may stand in the column.';
COMMENT ON COLUMN board_columns.wip_policy IS 'What happens above the limit: off, warn, or block (409).';
COMMENT ON COLUMN board_columns.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN board_columns.created_at IS 'When the row was made.';
COMMENT ON COLUMN board_columns.updated_at IS 'When the row last changed.';

ALTER TABLE board_columns ENABLE ROW LEVEL SECURITY;
ALTER TABLE board_columns FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON board_columns TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON board_columns TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (name, rank, wip_limit, wip_policy, version, updated_at), DELETE ON board_columns TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON board_columns TO plinth_system;

CREATE TABLE cards (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    board_id uuid NOT NULL,
    column_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    rank text COLLATE "C" NOT NULL CHECK (rank ~ '^[0-9A-Za-z]{2,200}$'),
    title text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 500),
    description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 20000),
    assignee_id uuid,
    created_by uuid DEFAULT current_user_id(),
    due_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CONSTRAINT cards_number_key UNIQUE (domain_id, project_id, number),
    CONSTRAINT cards_rank_key UNIQUE (domain_id, column_id, rank) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT cards_project_key UNIQUE (domain_id, id, project_id),
    FOREIGN KEY (domain_id, column_id, board_id, project_id)
        REFERENCES board_columns (domain_id, id, board_id, project_id),
    FOREIGN KEY (domain_id, assignee_id) REFERENCES users (domain_id, id),
    FOREIGN KEY (domain_id, created_by) REFERENCES users (domain_id, id)
);
COMMENT ON TABLE cards IS 'A card on a board.';
COMMENT ON COLUMN cards.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN cards.id IS 'UUIDv7.';
COMMENT ON COLUMN cards.project_id IS 'Project of the board; the number counts within it.';
COMMENT ON COLUMN cards.board_id IS 'Board that the card stands on.';
COMMENT ON COLUMN cards.column_id IS 'Column that the card stands in.';
COMMENT ON COLUMN cards.number IS 'Number within the project, from 1 without gaps; OPS-1 is key and number.';
COMMENT ON COLUMN cards.rank IS 'Place in the column: text compared byte by byte, unique within the column.';
COMMENT ON COLUMN cards.title IS 'What is to be done, in a line.';
COMMENT ON COLUMN cards.description IS 'What is to be done, at length.';
COMMENT ON COLUMN cards.assignee_id IS 'Who does it.';
COMMENT ON COLUMN cards.created_by IS 'Who made the card.';
COMMENT ON COLUMN cards.due_at IS 'When it is to be done.';
COMMENT ON COLUMN cards.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN cards.created_at IS 'When the row was made.';
COMMENT ON COLUMN cards.updated_at IS 'When the row last changed.';
CREATE INDEX cards_board_idx ON cards (domain_id, board_id, id);
CREATE INDEX cards_assignee_idx ON cards (domain_id, assignee_id) WHERE assignee_id IS NOT NULL;
CREATE INDEX cards_created_by_idx ON cards (domain_id, created_by) WHERE created_by IS NOT NULL;

ALTER TABLE cards ENABLE ROW LEVEL SECURITY;
ALTER TABLE cards FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON cards TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON cards TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE,
      UPDATE (board_id, column_id, rank, title, description, assignee_id, due_at, version, updated_at)
    ON cards TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON cards TO plinth_system;

CREATE TABLE tags (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    name_key text NOT NULL CHECK (name_key = lower(name_key)),
    color text NOT NULL CHECK (color ~ '^#[0-9a-f]{6}$'),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CONSTRAINT tags_name_key UNIQUE (domain_id, project_id, name_key),
    CONSTRAINT tags_project_key UNIQUE (domain_id, id, project_id),
    FOREIGN KEY (domain_id, project_id) REFERENCES projects (domain_id, id)
);
COMMENT ON TABLE tags IS 'A label that cards of a project may carry.';
COMMENT ON COLUMN tags.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN tags.id IS 'UUIDv7.';
COMMENT ON COLUMN tags.project_id IS 'Project that owns the tag.';
COMMENT ON COLUMN tags.name IS 'Name shown to people.';
COMMENT ON COLUMN tags.name_key IS 'The name in lower case; unique within the project.';
COMMENT ON COLUMN tags.color IS 'Colour as #rrggbb in lower case.';
COMMENT ON COLUMN tags.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN tags.created_at IS 'When the row was made.';
COMMENT ON COLUMN tags.updated_at IS 'When the row last changed.';

ALTER TABLE tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE tags FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tags TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON tags TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (name, name_key, color, version, updated_at), DELETE ON tags TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON tags TO plinth_system;

CREATE TABLE card_tags (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    project_id uuid NOT NULL,
    card_id uuid NOT NULL,
    tag_id uuid NOT NULL,
    PRIMARY KEY (domain_id, card_id, tag_id),
    -- Both through the project: a card cannot carry a tag of another project.
    FOREIGN KEY (domain_id, card_id, project_id) REFERENCES cards (domain_id, id, project_id) ON DELETE CASCADE,
    FOREIGN KEY (domain_id, tag_id, project_id) REFERENCES tags (domain_id, id, project_id) ON DELETE CASCADE
);
COMMENT ON TABLE card_tags IS 'Which card carries which tag.';
COMMENT ON COLUMN card_tags.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN card_tags.project_id IS 'Project of both.';
COMMENT ON COLUMN card_tags.card_id IS 'Card.';
COMMENT ON COLUMN card_tags.tag_id IS 'Tag.';
CREATE INDEX card_tags_tag_idx ON card_tags (domain_id, tag_id);

ALTER TABLE card_tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE card_tags FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON card_tags TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON card_tags TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON card_tags TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON card_tags TO plinth_system;
