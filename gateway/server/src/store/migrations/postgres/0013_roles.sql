-- Another role on the national plane.
ALTER TABLE client
    DROP CONSTRAINT client_role_check,
    ADD CONSTRAINT client_role_check CHECK (role IN ('backend', 'operator', 'auditor', 'data-protection'));
